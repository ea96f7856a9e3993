// Group normalisation of a channels-last feature map [B, P, C], scaled and shifted, then silu if SILU is 1.
//
// One workgroup does one group of one sample: two passes for mean and variance (the second over deviations, so that a
// large mean costs no accuracy), a third to write. Lanes walk the group's values position by position, so neighbouring
// lanes read neighbouring addresses.
//
// Bindings: x, gamma, beta, y. Limits: 4 storage buffers, 1 KiB of workgroup memory, 256 invocations.

const POSITIONS: u32 = {{ positions }};
const CHANNELS: u32 = {{ channels }};
const GROUPS: u32 = {{ groups }};
const EPS: f32 = {{ eps }};
const SILU: u32 = {{ silu }};

const LANES: u32 = 256;
const PER_GROUP: u32 = CHANNELS / GROUPS;
const COUNT: u32 = POSITIONS * PER_GROUP;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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

    for (var i = lane; i < COUNT; i += LANES) {
        let channel = i % PER_GROUP;
        let at = base + (i / PER_GROUP) * CHANNELS + channel;
        var z = (x[at] - mean) * rstd * gamma[group * PER_GROUP + channel] + beta[group * PER_GROUP + channel];
        if (SILU == 1) {
            z = z / (1.0 + exp(-z));
        }
        y[at] = z;
    }
}
