// What linear.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1, else [inner, columns]. residual and result are
// planes of [rows, plane] one after another: shared/linear.wgsl.

//#import shared/linear_tile_matrices
//#import shared/left_plain_matrices
//#import shared/linear_columns
//#import shared/matrices_finish
//#import shared/linear_emit
