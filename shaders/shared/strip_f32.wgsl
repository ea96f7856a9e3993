// A tile's strips in f32, which every device has: nothing is scaled. shared/strip_f16.wgsl says what these are for.

alias Strip = vec4<f32>;

fn begin(lane: u32) {}

fn fitted(rows: mat4x4<f32>) -> mat4x4<f32> {
    workgroupBarrier();
    return rows;
}

fn way_back() -> f32 {
    return 1.0;
}

// What invocations tell each other when the strips were used for the last time: in the left one.
fn tell(at: u32, values: vec4<f32>) {
    left_strip[at] = values;
}

fn told(at: u32) -> vec4<f32> {
    return left_strip[at];
}
