// The gradient to the input of group_norm.wgsl: shared/group_backward.wgsl.

//#import shared/group_backward
//#import shared/group_backward_alone
//#import shared/group_emit
