// The gradient to the input of group_norm.wgsl: shared/group_backward.wgsl.

//#import shared/group_backward

fn emit(quad: Quad, values: vec4<f32>) {
    result_set(quad.at, quad.left, values);
}
