// The gradients to the two inputs of group_norm_joined.wgsl, from what they were joined to: shared/group_backward.wgsl.

//#import shared/group_backward
//#import shared/group_backward_alone
//#import shared/group_emit_two
