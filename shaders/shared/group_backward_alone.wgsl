// What the gradient to a group's input follows from, where one workgroup does the group. Mean and spread are computed again:
// keeping them would save two of the four passes and cost a buffer.

//#import shared/group_alone

fn statistics(lane: u32, workgroup: vec2<u32>) -> vec4<f32> {
    let moments = moments(lane, workgroup);
    return vec4(moments, gradient_sums(lane, workgroup, moments) / group_count());
}
