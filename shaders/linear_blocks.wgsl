// What linear.wgsl computes, for software GPUs: shared/block.wgsl.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1, else [inner, columns]. residual and result are
// planes of [rows, plane] one after another: shared/linear.wgsl.

//#import shared/linear_block
//#import shared/linear_emit
