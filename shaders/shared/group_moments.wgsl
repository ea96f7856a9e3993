// The mean of each span of each group, and the sum of the squares of what its values are from it: [B, groups, spans, 4], of which
// the last two are zero.

//#import shared/group

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = deviations(lane, id.xy);
    if (lane == 0u) {
        result_set(4u * (id.x * sizes.spans + id.y), 4u, vec4(own, 0.0, 0.0));
    }
}
