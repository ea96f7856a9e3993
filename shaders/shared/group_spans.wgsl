// Mean and reciprocal standard deviation of a group that several workgroups do, from what group_moments.wgsl has written of each
// of its spans. Every workgroup adds them up again: they are a few hundred at most, where another launch would cost more.

fn span_at(group: u32, span: u32) -> vec2<f32> {
    return spans_at(4u * (group * sizes.spans + span), 4u).xy;
}

fn moments(lane: u32, workgroup: vec2<u32>) -> vec2<f32> {
    var sum = 0.0;
    for (var span = lane; span < sizes.spans; span += LANES) {
        sum += f32(positions_of(span) * group_size()) * span_at(workgroup.x, span).x;
    }
    let mean = totals(lane, vec2(sum, 0.0)).x / group_count();
    var squares = 0.0;
    for (var span = lane; span < sizes.spans; span += LANES) {
        let own = span_at(workgroup.x, span);
        let apart = own.x - mean;
        squares += own.y + f32(positions_of(span) * group_size()) * apart * apart;
    }
    return vec2(mean, inverseSqrt(totals(lane, vec2(squares, 0.0)).x / group_count() + sizes.eps));
}
