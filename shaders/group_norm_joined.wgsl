// Group normalisation, scaled and shifted, then silu if SILU is 1, of two channels-last feature maps of the same positions,
// channel after channel; and the two in one.
//
// One workgroup does one group of one sample: two passes for mean and spread, a third to write.

//#import shared/group

// Four channels, the first of which may be the last ones of x and the rest those of skip.
fn input_at(quad: Quad) -> vec4<f32> {
    let second = sizes.channels - sizes.first;
    if (quad.channel >= sizes.first) {
        return skip_at(quad.position * second + quad.channel - sizes.first, quad.left);
    }
    let own = sizes.first - quad.channel;
    let values = x_at(quad.position * sizes.first + quad.channel, min(quad.left, own));
    if (own >= min(quad.left, 4u)) {
        return values;
    }
    let others = skip_at(quad.position * second, quad.left - own);
    if (own == 1u) {
        return vec4(values.x, others.xyz);
    }
    if (own == 2u) {
        return vec4(values.xy, others.xy);
    }
    return vec4(values.xyz, others.x);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.x);
    for (var i = lane; i < quads(); i += LANES) {
        let quad = quad_of(id.x, i);
        let values = input_at(quad);
        joined_set(quad.at, quad.left, values);
        let xhat = (values - moments.x) * moments.y;
        var z = xhat * gamma_at(quad.channel, quad.left) + beta_at(quad.channel, quad.left);
        if (SILU == 1u) {
            z = z / (1.0 + exp(-z));
        }
        result_set(quad.at, quad.left, z);
    }
}
