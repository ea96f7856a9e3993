// What is to be known of the spans of a feature map's groups before it is normalised: shared/group_moments.wgsl.

//#import shared/group_moments
//#import shared/group_of_one
