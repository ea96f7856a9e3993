// What the group normalisation kernels share: the sizes, and the mean and spread of a group.
//
// One workgroup does one group of one sample of a channels-last feature map [B, P, C]. Lanes walk the group's values
// position by position, four channels at a time, so neighbouring lanes read neighbouring addresses.

//#import shared/totals

const SILU: u32 = {{ silu }}u;
const LANES: u32 = {{ lanes }}u;

struct Sizes {
    positions: u32,
    channels: u32,
    groups: u32,
    // Channels of the first of two maps that are joined; of a single one all.
    first: u32,
    eps: f32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// Four channels of a position: where they are, in which position, which channels, and how many of the four belong to the group.
struct Quad {
    at: u32,
    position: u32,
    channel: u32,
    left: u32,
}

// Channels of a group.
fn group_size() -> u32 {
    return sizes.channels / sizes.groups;
}

// How many quads a group has.
fn quads() -> u32 {
    return sizes.positions * ((group_size() + 3u) / 4u);
}

// Quad `i` of a workgroup's group.
fn quad_of(workgroup: u32, i: u32) -> Quad {
    let size = group_size();
    let in_position = (size + 3u) / 4u;
    let within = 4u * (i % in_position);
    let channel = (workgroup % sizes.groups) * size + within;
    let position = (workgroup / sizes.groups) * sizes.positions + i / in_position;
    return Quad(position * sizes.channels + channel, position, channel, size - within);
}

// Zeros in place of values that are not the group's.
fn only(quad: Quad, values: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), values, vec4(0u, 1u, 2u, 3u) < vec4(quad.left));
}

// Mean and reciprocal standard deviation of a group. The second pass is over deviations from the mean, so that a large mean
// costs no accuracy. `input_at`, the values of a quad, is the affair of a kernel made of this.
fn moments(lane: u32, workgroup: u32) -> vec2<f32> {
    let count = f32(sizes.positions * group_size());
    var sums = vec4<f32>();
    for (var i = lane; i < quads(); i += LANES) {
        let quad = quad_of(workgroup, i);
        sums += only(quad, input_at(quad));
    }
    let mean = totals(lane, vec2(dot(sums, vec4(1.0)), 0.0)).x / count;
    var squares = 0.0;
    for (var i = lane; i < quads(); i += LANES) {
        let quad = quad_of(workgroup, i);
        let centred = only(quad, input_at(quad) - mean);
        squares += dot(centred, centred);
    }
    return vec2(mean, inverseSqrt(totals(lane, vec2(squares, 0.0)).x / count + sizes.eps));
}
