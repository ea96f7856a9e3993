// Values of `{{ name }}`, stored in eight bits: rows are blocks of 32, each with a scale in f16 in a buffer of its own.
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<u32>;
@group(0) @binding({{ scales_binding }}) var<storage, read_write> {{ name }}_scales: array<u32>;

fn {{ name }}_at(at: u32, rest: u32) -> vec4<f32> {
    let scales = unpack2x16float({{ name }}_scales[at / 64u]);
    let scale = select(scales.x, scales.y, (at / 32u) % 2u == 1u);
    // As numbers from 0 to 255, 128 of them below zero: for those GPUs have instructions, for signed bytes they need two.
    let bytes = (vec4({{ name }}[at / 4u] ^ 0x80808080u) >> vec4(0u, 8u, 16u, 24u)) & vec4(255u);
    return scale * (vec4<f32>(bytes) - 128.0);
}
