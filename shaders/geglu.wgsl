// value * gelu(gate) for rows [value, gate], half as wide.
//
// One invocation makes four neighbouring values; rows are a multiple of four wide.

//#import shared/gelu
//#import shared/geglu

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = first(group, lane);
    if (at < sizes.count) {
        let value_place = value_of(at);
        result_set(at, 4u, x_at(value_place, 4u) * gelu(x_at(value_place + sizes.width, 4u)));
    }
}
