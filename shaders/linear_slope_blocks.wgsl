// What linear_slope.wgsl computes, for software GPUs: shared/block.wgsl.

//#import shared/linear_block
//#import shared/linear_emit_slope
