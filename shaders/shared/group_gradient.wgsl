// What the gradient to the input of a group normalisation is made of: gamma * dz (dz after silu's slope), and its sums.

const SILU: u32 = {{ silu }}u;

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

// The sums of that, and of its products with the normalised input, over a workgroup's values.
fn gradient_sums(lane: u32, workgroup: vec2<u32>, moments: vec2<f32>) -> vec2<f32> {
    var sums = vec2<f32>();
    for (var i = lane; i < quads(workgroup.y); i += LANES) {
        let quad = quad_of(workgroup, i);
        let xhat = (input_at(quad) - moments.x) * moments.y;
        // Beyond the group dy is zero, and so is g.
        let g = scaled_gradient(quad, xhat);
        sums += vec2(dot(g, vec4(1.0)), dot(g, xhat));
    }
    return totals(lane, sums);
}
