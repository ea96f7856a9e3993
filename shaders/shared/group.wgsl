// What the group normalisation kernels share: the sizes, where values lie, and what is to be known of them.
//
// A workgroup does a span of the positions of one group of one sample of a channels-last feature map [B, P, C]: all of them, or,
// where groups are large and few, one of several spans, so that there are workgroups enough to fill a GPU. Lanes walk the values
// position by position, four channels at a time, so neighbouring lanes read neighbouring addresses.

//#import shared/totals

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    positions: u32,
    channels: u32,
    groups: u32,
    // Channels of the first of two maps that are joined; of a single one all.
    first: u32,
    // Positions of a span, and spans of a group.
    span: u32,
    spans: u32,
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

// Values of a group.
fn group_count() -> f32 {
    return f32(sizes.positions * group_size());
}

// Positions of a group's span.
fn positions_of(span: u32) -> u32 {
    return min(sizes.span, sizes.positions - span * sizes.span);
}

// How many quads a span has.
fn quads(span: u32) -> u32 {
    return positions_of(span) * ((group_size() + 3u) / 4u);
}

// Quad `i` of a workgroup, which has a group of a sample and one of its spans.
fn quad_of(workgroup: vec2<u32>, i: u32) -> Quad {
    let size = group_size();
    let in_position = (size + 3u) / 4u;
    let within = 4u * (i % in_position);
    let channel = (workgroup.x % sizes.groups) * size + within;
    let position = (workgroup.x / sizes.groups) * sizes.positions + workgroup.y * sizes.span + i / in_position;
    return Quad(position * sizes.channels + channel, position, channel, size - within);
}

// Zeros in place of values that are not the group's.
fn only(quad: Quad, values: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), values, vec4(0u, 1u, 2u, 3u) < vec4(quad.left));
}

// Of the values of a workgroup: their mean, and the sum of the squares of what they are from it. The second pass is over
// deviations from the mean, so that a large mean costs no accuracy. `input_at`, the values of a quad, is the affair of a kernel
// made of this.
fn deviations(lane: u32, workgroup: vec2<u32>) -> vec2<f32> {
    let count = f32(positions_of(workgroup.y) * group_size());
    var sums = vec4<f32>();
    for (var i = lane; i < quads(workgroup.y); i += LANES) {
        let quad = quad_of(workgroup, i);
        sums += only(quad, input_at(quad));
    }
    let mean = totals(lane, vec2(dot(sums, vec4(1.0)), 0.0)).x / count;
    var squares = 0.0;
    for (var i = lane; i < quads(workgroup.y); i += LANES) {
        let quad = quad_of(workgroup, i);
        let centred = only(quad, input_at(quad) - mean);
        squares += dot(centred, centred);
    }
    return vec2(mean, totals(lane, vec2(squares, 0.0)).x);
}
