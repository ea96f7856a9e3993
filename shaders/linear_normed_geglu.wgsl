// What linear_geglu.wgsl computes of rows that are normalised before: shared/left_normed.wgsl.

//#import shared/linear_tile
//#import shared/left_normed
//#import shared/linear_geglu
