// What group_norm_backward.wgsl computes, where several workgroups do a group.

//#import shared/group_backward
//#import shared/group_backward_spans
//#import shared/group_emit
