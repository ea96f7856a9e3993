// Group normalisation, scaled and shifted, then silu if SILU is 1, of whatever `input_at` gives; `keep` gets what that was.
//
// One workgroup does one group of one sample: two passes for mean and spread, a third to write.

//#import shared/group

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.x);
    for (var i = lane; i < quads(); i += LANES) {
        let quad = quad_of(id.x, i);
        let values = input_at(quad);
        keep(quad, values);
        let xhat = (values - moments.x) * moments.y;
        var z = xhat * gamma_at(quad.channel, quad.left) + beta_at(quad.channel, quad.left);
        if (SILU == 1u) {
            z = z / (1.0 + exp(-z));
        }
        result_set(quad.at, quad.left, z);
    }
}
