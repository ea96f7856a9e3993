// What linear_normed_activated.wgsl computes, with cooperative matrices: shared/matrices.wgsl.

//#import shared/linear_tile_matrices
//#import shared/left_normed_matrices
//#import shared/linear_columns
//#import shared/matrices_finish
//#import shared/linear_emit_activated
