// The same where several workgroups do the group, from what group_sums.wgsl has written of each of its spans.

fn statistics(lane: u32, workgroup: vec2<u32>) -> vec4<f32> {
    let first = 4u * workgroup.x * sizes.spans;
    var sums = vec2<f32>();
    for (var span = lane; span < sizes.spans; span += LANES) {
        sums += spans_at(first + 4u * span, 4u).zw;
    }
    return vec4(spans_at(first, 4u).xy, totals(lane, sums) / group_count());
}
