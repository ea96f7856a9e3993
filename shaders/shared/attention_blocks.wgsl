// What the attention kernels for software GPUs share: where a head's values are, and which keys a query sees.
//
// One invocation has one query (or one key) of one head and walks the keys (or queries), reading each for itself; scores are never
// written out. A workgroup's memory would help nobody: to such a GPU it is memory like any other, and waiting for others costs it
// more than reading. One neighbour is taken at a time, because its compiler takes a second for a loop of four, and the loop is no
// faster. On a GPU a workgroup shares its rows (shared/attention_tile.wgsl). A line with the number of a quad in it stands here
// once and in the program once for each quad of a head, so that nothing has to be indexed in registers.

//#import shared/attention_sizes

const QUADS: u32 = {{ quads }}u;
const CAUSAL: u32 = {{ causal }}u;
const LANES: u32 = {{ lanes }}u;

// Less than any score.
const LEAST: f32 = -1e30;

// Where a head of a position begins, among `count` positions of each sample.
fn place(count: u32, sample: u32, position: u32, head: u32) -> u32 {
    return ((sample * count + position) * sizes.heads + head) * 4u * QUADS;
}

// From a head of a position to that of the next.
fn pitch() -> u32 {
    return sizes.heads * 4u * QUADS;
}

// One more than the last key that a query sees.
fn last_key(query: u32) -> u32 {
    if (CAUSAL == 1u) {
        return min(sizes.keys, query + 1u);
    }
    return sizes.keys;
}

fn sum(values: vec4<f32>) -> f32 {
    return dot(values, vec4(1.0));
}
