// The product of rows with a frozen weight, plus a bias, as values and gates side by side, and values * gelu(gates): the first
// layer of a gated MLP. Both are written: the gradient needs what went into the activation.
//
// left is [rows, inner], right [columns, inner], before [rows, columns] and result [rows, columns / 2].

//#import shared/linear_tile
//#import shared/left_plain
//#import shared/linear_geglu
