// Group normalisation of two channels-last feature maps of the same positions, channel after channel: shared/group_norm.wgsl;
// and the two in one.

//#import shared/group_norm
//#import shared/group_alone
//#import shared/group_join
