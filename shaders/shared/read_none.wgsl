// There is no `{{ name }}`: zeros.
fn {{ name }}_at(at: u32, rest: u32) -> vec4<f32> {
    return vec4<f32>();
}
