// Where two feature maps are joined, the two in one are a result, too.

//#import shared/group_of_two

fn keep(quad: Quad, values: vec4<f32>) {
    joined_set(quad.at, quad.left, values);
}
