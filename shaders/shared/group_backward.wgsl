// The gradient to the input of a group normalisation, from that input and the gradient to its output.
//
// With g = gamma * dz (dz after silu's slope) and xhat the normalised input,
// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), on top of the gradients that were collected before, and of one that came
// last. Those are added, and the sum written, by `emit`; `statistics` are mean, rstd, and the two means of a group: both are the
// affair of a kernel made of this.

//#import shared/group
//#import shared/group_of_one
//#import shared/group_gradient

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let known = statistics(lane, id.xy);
    for (var i = lane; i < quads(id.y); i += LANES) {
        let quad = quad_of(id.xy, i);
        let xhat = (input_at(quad) - known.x) * known.y;
        emit(quad, known.y * (scaled_gradient(quad, xhat) - known.z - xhat * known.w));
    }
}
