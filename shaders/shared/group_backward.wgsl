// The gradient to the input of a group normalisation, from that input and the gradient to its output.
//
// One workgroup does one group of one sample. Mean and spread are computed again: keeping them would save two of the four
// passes and cost a buffer. With g = gamma * dz (dz after silu's slope) and xhat the normalised input,
// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), on top of the gradients that were collected before, and of one that came
// last. Where that goes, `emit`, is the affair of a kernel made of this.

//#import shared/group
//#import shared/group_of_one
//#import shared/totals

// gamma * dz for values whose normalised input is `xhat`.
fn scaled_gradient(quad: Quad, xhat: vec4<f32>) -> vec4<f32> {
    let gamma = gamma_at(quad.channel, quad.left);
    var g = dy_at(quad.at, quad.left) * gamma;
    if (SILU == 1u) {
        let z = xhat * gamma + beta_at(quad.channel, quad.left);
        let s = 1.0 / (1.0 + exp(-z));
        g *= s * (1.0 + z * (1.0 - s));
    }
    return g;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.x);
    var sums = vec2<f32>();
    for (var i = lane; i < quads(); i += LANES) {
        let quad = quad_of(id.x, i);
        let xhat = (input_at(quad) - moments.x) * moments.y;
        // Beyond the group dy is zero, and so is g.
        let g = scaled_gradient(quad, xhat);
        sums += vec2(dot(g, vec4(1.0)), dot(g, xhat));
    }
    let means = totals(lane, sums) / f32(sizes.positions * group_size());
    for (var i = lane; i < quads(); i += LANES) {
        let quad = quad_of(id.x, i);
        let xhat = (input_at(quad) - moments.x) * moments.y;
        let dx = moments.y * (scaled_gradient(quad, xhat) - means.x - xhat * means.y);
        emit(quad, dx + (collected_at(quad.at, quad.left) + beside_at(quad.at, quad.left)));
    }
}
