// What is to be known of the spans of a feature map's groups before the gradient to it is made, [B, groups, spans, 4]: mean and
// reciprocal standard deviation of the group, and the sums of shared/group_gradient.wgsl over the span.

//#import shared/group
//#import shared/group_of_one
//#import shared/group_spans
//#import shared/group_gradient

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.xy);
    let sums = gradient_sums(lane, id.xy, moments);
    if (lane == 0u) {
        result_set(4u * (id.x * sizes.spans + id.y), 4u, vec4(moments, sums));
    }
}
