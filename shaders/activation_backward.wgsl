// The gradient to the input of activation.wgsl: dy times the slope at x.
//
// One invocation makes four neighbouring values.

//#import shared/activation

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = first(group, lane);
    if (at < sizes.count) {
        let rest = sizes.count - at;
        result_set(at, rest, dy_at(at, rest) * activated_slope(x_at(at, rest)));
    }
}
