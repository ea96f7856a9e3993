// Values of `{{ name }}`, rows of which are multiples of four long.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<vec4<f32>>;

fn {{ name }}_at(at: u32, rest: u32) -> vec4<f32> {
    return {{ name }}[at / 4u];
}
