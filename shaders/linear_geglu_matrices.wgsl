// What linear_geglu.wgsl computes, with cooperative matrices: shared/matrices.wgsl.

//#import shared/linear_tile_matrices
//#import shared/left_plain_matrices
//#import shared/linear_geglu_matrices
