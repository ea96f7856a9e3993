// What the group normalisation kernels share: the sizes, the input, and the mean and spread of a group.
//
// One workgroup does one group of one sample of a channels-last feature map [B, P, C]. Lanes walk the group's values
// position by position, so neighbouring lanes read neighbouring addresses.

const POSITIONS: u32 = {{ positions }};
const CHANNELS: u32 = {{ channels }};
const GROUPS: u32 = {{ groups }};
const EPS: f32 = {{ eps }};
const SILU: u32 = {{ silu }};

const LANES: u32 = 256;
const PER_GROUP: u32 = CHANNELS / GROUPS;
const COUNT: u32 = POSITIONS * PER_GROUP;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;

var<workgroup> lanes: array<f32, LANES>;

// Where the first value of a workgroup's group is.
fn first_of(workgroup: u32) -> u32 {
    return (workgroup / GROUPS) * POSITIONS * CHANNELS + (workgroup % GROUPS) * PER_GROUP;
}

// Where value `i` of the group that begins at `first` is.
fn place(first: u32, i: u32) -> u32 {
    return first + (i / PER_GROUP) * CHANNELS + i % PER_GROUP;
}

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

// Mean and reciprocal standard deviation of a group. The second pass is over deviations from the mean, so that a large mean
// costs no accuracy.
fn moments(lane: u32, first: u32) -> vec2<f32> {
    var sum = 0.0;
    for (var i = lane; i < COUNT; i += LANES) {
        sum += x[place(first, i)];
    }
    let mean = total(lane, sum) / f32(COUNT);
    var squares = 0.0;
    for (var i = lane; i < COUNT; i += LANES) {
        let centred = x[place(first, i)] - mean;
        squares += centred * centred;
    }
    return vec2(mean, inverseSqrt(total(lane, squares) / f32(COUNT) + EPS));
}
