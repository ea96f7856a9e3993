// What is normalised where that is one feature map.

fn input_at(quad: Quad) -> vec4<f32> {
    return x_at(quad.at, quad.left);
}
