// Values of `{{ name }}`, rows of which have any length: those after the first `rest` are zeros.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<f32>;

fn {{ name }}_at(at: u32, rest: u32) -> vec4<f32> {
    var values = vec4({{ name }}[at], 0.0, 0.0, 0.0);
    if (rest > 1u) {
        values.y = {{ name }}[at + 1u];
    }
    if (rest > 2u) {
        values.z = {{ name }}[at + 2u];
    }
    if (rest > 3u) {
        values.w = {{ name }}[at + 3u];
    }
    return values;
}
