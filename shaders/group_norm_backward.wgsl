// The gradient to the input of group_norm.wgsl, from that input and the gradient to its output.
//
// One workgroup does one group of one sample. Mean and spread are computed again: keeping them would save two of the five
// passes and cost a buffer. With g = gamma * dz (dz after silu's slope) and xhat the normalised input,
// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)).
//
// Bindings: x, dy, gamma, beta, dx. Limits: 5 storage buffers, 1 KiB of workgroup memory, 256 invocations.

const POSITIONS: u32 = {{ positions }};
const CHANNELS: u32 = {{ channels }};
const GROUPS: u32 = {{ groups }};
const EPS: f32 = {{ eps }};
const SILU: u32 = {{ silu }};

const LANES: u32 = 256;
const PER_GROUP: u32 = CHANNELS / GROUPS;
const COUNT: u32 = POSITIONS * PER_GROUP;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

var<workgroup> lanes: array<f32, LANES>;

// The sum of one value of each lane, for all lanes.
fn total(lane: u32, value: f32) -> f32 {
    lanes[lane] = value;
    for (var half = LANES / 2; half > 0; half /= 2) {
        workgroupBarrier();
        if (lane < half) {
            lanes[lane] += lanes[lane + half];
        }
    }
    workgroupBarrier();
    let sum = lanes[0];
    workgroupBarrier();
    return sum;
}

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
    let group = id.x % GROUPS;
    let base = (id.x / GROUPS) * POSITIONS * CHANNELS + group * PER_GROUP;

    var sum = 0.0;
    for (var i = lane; i < COUNT; i += LANES) {
        sum += x[base + (i / PER_GROUP) * CHANNELS + i % PER_GROUP];
    }
    let mean = total(lane, sum) / f32(COUNT);

    var squares = 0.0;
    for (var i = lane; i < COUNT; i += LANES) {
        let centred = x[base + (i / PER_GROUP) * CHANNELS + i % PER_GROUP] - mean;
        squares += centred * centred;
    }
    let rstd = inverseSqrt(total(lane, squares) / f32(COUNT) + EPS);

    var plain = 0.0;
    var crossed = 0.0;
    for (var i = lane; i < COUNT; i += LANES) {
        let at = base + (i / PER_GROUP) * CHANNELS + i % PER_GROUP;
        let xhat = (x[at] - mean) * rstd;
        let g = scaled_gradient(at, group * PER_GROUP + i % PER_GROUP, xhat);
        plain += g;
        crossed += g * xhat;
    }
    let a = total(lane, plain) / f32(COUNT);
    let b = total(lane, crossed) / f32(COUNT);

    for (var i = lane; i < COUNT; i += LANES) {
        let at = base + (i / PER_GROUP) * CHANNELS + i % PER_GROUP;
        let xhat = (x[at] - mean) * rstd;
        let g = scaled_gradient(at, group * PER_GROUP + i % PER_GROUP, xhat);
        dx[at] = rstd * (g - a - xhat * b);
    }
}
