// Group normalisation, scaled and shifted, then silu if SILU is 1, of whatever `input_at` gives; `keep` gets what that was. `moments`,
// a group's mean and reciprocal standard deviation, is the affair of a kernel made of this.

//#import shared/group

const SILU: u32 = {{ silu }}u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.xy);
    for (var i = lane; i < quads(id.y); i += LANES) {
        let quad = quad_of(id.xy, i);
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
