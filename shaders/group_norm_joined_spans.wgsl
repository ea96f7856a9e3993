// What group_norm_joined.wgsl computes, where several workgroups do a group.

//#import shared/group_norm
//#import shared/group_spans
//#import shared/group_join
