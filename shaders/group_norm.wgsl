// Group normalisation of a channels-last feature map: shared/group_norm.wgsl.

//#import shared/group_norm
//#import shared/group_alone
//#import shared/group_of_one

fn keep(quad: Quad, values: vec4<f32>) {
}
