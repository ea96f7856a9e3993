// Mean and reciprocal standard deviation of a group that one workgroup does.

fn moments(lane: u32, workgroup: vec2<u32>) -> vec2<f32> {
    let all = deviations(lane, workgroup);
    return vec2(all.x, inverseSqrt(all.y / group_count() + sizes.eps));
}
