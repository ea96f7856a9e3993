// The product of rows with a frozen weight, plus a bias, and an activation of it: the first layer of an MLP. Both are written: the
// gradient needs what went into the activation.
//
// left is [rows, inner], right [columns, inner], before and result are [rows, columns].

//#import shared/linear_tile
//#import shared/left_plain
//#import shared/linear_columns
//#import shared/tile_finish
//#import shared/linear_emit_activated
