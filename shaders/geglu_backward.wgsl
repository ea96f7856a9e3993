// The gradient to the input of geglu.wgsl: [dy * gelu(gate), dy * value * gelu'(gate)].
//
// One invocation makes four neighbouring values of both halves; rows are a multiple of four wide.
//
// Bindings: x [rows, 2 width], dy [rows, width], result [rows, 2 width], sizes (uniform). Limits: 3 storage buffers, 256
// invocations.

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
        let gate_place = value_place + sizes.width;
        let dy = dy_at(at, 4u);
        let gate = x_at(gate_place, 4u);
        let value = x_at(value_place, 4u);
        result_set(value_place, 4u, dy * gelu(gate));
        result_set(gate_place, 4u, dy * value * gelu_slope(gate));
    }
}
