// Values of `{{ name }}`, stored as halves, rows of which have any length: those after the first `rest` are zeros.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<u32>;

fn {{ name }}_one(at: u32) -> f32 {
    let pair = unpack2x16float({{ name }}[at / 2u]);
    return select(pair.x, pair.y, at % 2u == 1u);
}

fn {{ name }}_at(at: u32, rest: u32) -> vec4<f32> {
    var values = vec4({{ name }}_one(at), 0.0, 0.0, 0.0);
    if (rest > 1u) {
        values.y = {{ name }}_one(at + 1u);
    }
    if (rest > 2u) {
        values.z = {{ name }}_one(at + 2u);
    }
    if (rest > 3u) {
        values.w = {{ name }}_one(at + 3u);
    }
    return values;
}
