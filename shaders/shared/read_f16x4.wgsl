// Values of `{{ name }}`, stored as halves, rows of which are multiples of four long.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<vec2<u32>>;

fn {{ name }}_at(at: u32, rest: u32) -> vec4<f32> {
    let words = {{ name }}[at / 4u];
    return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
}
