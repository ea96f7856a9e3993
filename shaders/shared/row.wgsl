// What the layer normalisation kernels share: sizes, and the mean and spread of a row of [rows, width].
//
// One workgroup does one row.

//#import shared/totals

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    rows: u32,
    width: u32,
    eps: f32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// Zeros in place of values after the end of the row.
fn only(column: u32, values: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), values, vec4(0u, 1u, 2u, 3u) < vec4(sizes.width - column));
}

// Mean and reciprocal standard deviation of a row. The second pass is over deviations from the mean, so that a large mean
// costs no accuracy.
fn moments(lane: u32, row: u32) -> vec2<f32> {
    let start = row * sizes.width;
    var sums = vec4<f32>();
    for (var column = 4u * lane; column < sizes.width; column += 4u * LANES) {
        sums += x_at(start + column, sizes.width - column);
    }
    let mean = totals(lane, vec2(dot(sums, vec4(1.0)), 0.0)).x / f32(sizes.width);
    var squares = 0.0;
    for (var column = 4u * lane; column < sizes.width; column += 4u * LANES) {
        let centred = only(column, x_at(start + column, sizes.width - column) - mean);
        squares += dot(centred, centred);
    }
    return vec2(mean, inverseSqrt(totals(lane, vec2(squares, 0.0)).x / f32(sizes.width) + sizes.eps));
}
