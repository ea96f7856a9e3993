// What is written of sums: themselves, with what the left factor was multiplied by taken off.

fn settled(values: vec4<f32>, place: vec2<u32>, column: u32) -> vec4<f32> {
    return way_back() * values;
}
