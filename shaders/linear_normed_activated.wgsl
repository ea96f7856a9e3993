// What linear_activated.wgsl computes of rows that are normalised before: shared/left_normed.wgsl.

//#import shared/linear_tile
//#import shared/left_normed
//#import shared/linear_columns
//#import shared/tile_finish
//#import shared/linear_emit_activated
