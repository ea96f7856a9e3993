// The gradient to the input of group_norm.wgsl, from that input and the gradient to its output.
//
// One workgroup does one group of one sample. Mean and spread are computed again: keeping them would save two of the four
// passes and cost a buffer. With g = gamma * dz (dz after silu's slope) and xhat the normalised input,
// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)).
//
// Bindings: x (shared), dy, gamma, beta, dx. Limits: 5 storage buffers, 1 KiB of workgroup memory, 256 invocations.

@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

// gamma * dz for a value whose normalised input is `xhat`.
fn scaled_gradient(at: u32, channel: u32, xhat: f32) -> f32 {
    var slope = 1.0;
    if (SILU == 1) {
        let z = xhat * gamma[channel] + beta[channel];
        let s = 1.0 / (1.0 + exp(-z));
        slope = s * (1.0 + z * (1.0 - s));
    }
    return dy[at] * slope * gamma[channel];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = first_of(id.x);
    let moments = moments(lane, first);
    let channels = (id.x % GROUPS) * PER_GROUP;

    var plain = 0.0;
    var crossed = 0.0;
    for (var i = lane; i < COUNT; i += LANES) {
        let at = place(first, i);
        let xhat = (x[at] - moments.x) * moments.y;
        let g = scaled_gradient(at, channels + i % PER_GROUP, xhat);
        plain += g;
        crossed += g * xhat;
    }
    let a = total(lane, plain) / f32(COUNT);
    let b = total(lane, crossed) / f32(COUNT);

    for (var i = lane; i < COUNT; i += LANES) {
        let at = place(first, i);
        let xhat = (x[at] - moments.x) * moments.y;
        dx[at] = moments.y * (scaled_gradient(at, channels + i % PER_GROUP, xhat) - a - xhat * b);
    }
}
