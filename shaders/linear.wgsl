// The product of rows with a frozen weight, plus a bias and a residual: a linear layer, or the gradient to its input, where
// the residual is what other gradients came to before.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1 (a layer's weight, going forward), else
// [inner, columns] (the same weight, going back). residual and result are
// [rows, columns], or, of several weights at once, a plane of [rows, plane] for each: shared/linear.wgsl.
//
// One workgroup makes one tile of the result: shared/tile.wgsl.

//#import shared/linear_tile
//#import shared/left_plain
//#import shared/linear_columns
//#import shared/tile_finish
//#import shared/linear_emit
