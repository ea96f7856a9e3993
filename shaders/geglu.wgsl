// value * gelu(gate) for rows [value, gate], half as wide.
//
// One invocation makes four neighbouring values; rows are a multiple of four wide.
//
// Bindings: x [rows, 2 width], result [rows, width], sizes (uniform). Limits: 2 storage buffers, 256 invocations.

const LANES: u32 = 256u;

struct Sizes {
    width: u32,
    count: u32,
    // Workgroups side by side.
    across: u32,
    unused: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = 4u * ((group.y * sizes.across + group.x) * LANES + lane);
    if (at < sizes.count) {
        let value_place = at + at / sizes.width * sizes.width;
        result_set(at, 4u, x_at(value_place, 4u) * gelu(x_at(value_place + sizes.width, 4u)));
    }
}
