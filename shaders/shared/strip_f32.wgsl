// A tile's strips in f32, which every device has: nothing is scaled.

alias Strip = vec4<f32>;

fn scales() -> vec2<f32> {
    return vec2(1.0);
}
