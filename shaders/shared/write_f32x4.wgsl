// Values of the result `{{ name }}`, rows of which are multiples of four long.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<vec4<f32>>;

fn {{ name }}_set(at: u32, rest: u32, values: vec4<f32>) {
    {{ name }}[at / 4u] = values;
}
