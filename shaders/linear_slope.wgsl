// The gradient to the input of an MLP's activation: the product of the gradient to its second layer's result with that
// layer's weight, times the activation's slope.
//
// left is [rows, inner], right [inner, columns]; before, what went into the activation, and result are [rows, columns], or, where
// that is geglu, [rows, 2 columns]: values and gates.

//#import shared/linear_tile
//#import shared/left_plain
//#import shared/linear_columns
//#import shared/tile_finish
//#import shared/linear_emit_slope
