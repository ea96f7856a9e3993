// Values of the result `{{ name }}`, rows of which have any length: the first `rest` of four are written.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<f32>;

fn {{ name }}_set(at: u32, rest: u32, values: vec4<f32>) {
    {{ name }}[at] = values.x;
    if (rest > 1u) {
        {{ name }}[at + 1u] = values.y;
    }
    if (rest > 2u) {
        {{ name }}[at + 2u] = values.z;
    }
    if (rest > 3u) {
        {{ name }}[at + 3u] = values.w;
    }
}
