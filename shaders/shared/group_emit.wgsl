// Where the gradient to the input of a group normalisation goes.

fn emit(quad: Quad, values: vec4<f32>) {
    result_set(quad.at, quad.left, values + (collected_at(quad.at, quad.left) + beside_at(quad.at, quad.left)));
}
