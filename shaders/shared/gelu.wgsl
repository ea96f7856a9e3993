// The exact gelu and its slope.

// The normal distribution function, from Abramowitz and Stegun's 7.1.26 for erf (off by 1.5e-7 at most).
fn normal(x: vec4<f32>) -> vec4<f32> {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let tail = 0.5 * series * exp(-z * z);
    return select(tail, 1.0 - tail, x >= vec4<f32>());
}

fn gelu(x: vec4<f32>) -> vec4<f32> {
    return x * normal(x);
}

fn gelu_slope(x: vec4<f32>) -> vec4<f32> {
    return normal(x) + x * exp(-0.5 * x * x) * 0.39894228;
}

// The gradients to values and to their gates, from that to value * gelu(gate).
fn geglu_slope(value: vec4<f32>, gate: vec4<f32>, dy: vec4<f32>) -> mat2x4<f32> {
    return mat2x4(dy * gelu(gate), dy * value * gelu_slope(gate));
}
