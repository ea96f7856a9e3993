// What the attention kernels for software GPUs share: where a head's values are, and products with four neighbours.
//
// One invocation has one query (or one key) of one head in registers, and walks the keys (or queries) in tiles that the
// workgroup keeps in its memory; scores are never written out. A GPU's registers are too few for that: there a workgroup
// shares its rows (shared/attention_tile.wgsl). A line with the number of a quad in it stands here once and in the program
// once for each quad of a head, so that nothing has to be indexed in registers.

//#import shared/attention_sizes

const QUADS: u32 = {{ quads }}u;
const TILE: u32 = {{ tile }}u;
const CAUSAL: u32 = {{ causal }}u;
const LANES: u32 = {{ lanes }}u;

// Less than any score.
const LEAST: f32 = -1e30;

var<workgroup> first_tile: array<vec4<f32>, TILE * QUADS>;
var<workgroup> second_tile: array<vec4<f32>, TILE * QUADS>;

// Where a head of a position begins, among `count` positions of each sample.
fn place(count: u32, sample: u32, position: u32, head: u32) -> u32 {
    return ((sample * count + position) * sizes.heads + head) * 4u * QUADS;
}

// The product of a quad with the same quad of four neighbours in the first tile.
fn first_products(values: vec4<f32>, at: u32) -> vec4<f32> {
    return vec4(
        dot(values, first_tile[at]),
        dot(values, first_tile[at + QUADS]),
        dot(values, first_tile[at + 2u * QUADS]),
        dot(values, first_tile[at + 3u * QUADS]),
    );
}

// The same in the second tile.
fn second_products(values: vec4<f32>, at: u32) -> vec4<f32> {
    return vec4(
        dot(values, second_tile[at]),
        dot(values, second_tile[at + QUADS]),
        dot(values, second_tile[at + 2u * QUADS]),
        dot(values, second_tile[at + 3u * QUADS]),
    );
}

// The weighted sum of a quad of four neighbours in the first tile.
fn first_sum(weights: vec4<f32>, at: u32) -> vec4<f32> {
    return weights.x * first_tile[at] + weights.y * first_tile[at + QUADS] + weights.z * first_tile[at + 2u * QUADS]
        + weights.w * first_tile[at + 3u * QUADS];
}

// The same in the second tile.
fn second_sum(weights: vec4<f32>, at: u32) -> vec4<f32> {
    return weights.x * second_tile[at] + weights.y * second_tile[at + QUADS] + weights.z * second_tile[at + 2u * QUADS]
        + weights.w * second_tile[at + 3u * QUADS];
}
