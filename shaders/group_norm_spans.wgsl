// What group_norm.wgsl computes, where several workgroups do a group.

//#import shared/group_norm
//#import shared/group_spans
//#import shared/group_of_one

fn keep(quad: Quad, values: vec4<f32>) {
}
