// The gradient to the input of geglu.wgsl: [dy * gelu(gate), dy * value * gelu'(gate)].
//
// One invocation makes four neighbouring values of both halves; rows are a multiple of four wide.

//#import shared/gelu
//#import shared/geglu

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = first(group, lane);
    if (at < sizes.count) {
        let value_place = value_of(at);
        let gate_place = value_place + sizes.width;
        let slopes = geglu_slope(x_at(value_place, 4u), x_at(gate_place, 4u), dy_at(at, 4u));
        result_set(value_place, 4u, slopes[0]);
        result_set(gate_place, 4u, slopes[1]);
    }
}
