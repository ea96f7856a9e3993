// What is normalised where two feature maps are joined, channel after channel.

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
