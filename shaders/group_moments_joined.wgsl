// The same of two feature maps that are joined: shared/group_moments.wgsl.

//#import shared/group_moments
//#import shared/group_of_two
