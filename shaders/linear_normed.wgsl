// What linear.wgsl computes of rows that are normalised before: shared/left_normed.wgsl.
//
// left is [rows, inner], gamma [inner], right [columns, inner], sums and bias are [columns], and the result is a plane of
// [rows, plane] for each of several weights: shared/linear.wgsl.

//#import shared/linear_tile
//#import shared/left_normed
//#import shared/linear_columns
//#import shared/tile_finish
//#import shared/linear_emit
