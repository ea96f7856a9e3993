// Where the gradients to the two maps go that a group normalisation has joined.

// Of four channels the first may be the last ones of x, and the rest those of skip.
fn emit(quad: Quad, gradient: vec4<f32>) {
    let values = gradient + collected_at(quad.at, quad.left);
    let second = sizes.channels - sizes.first;
    if (quad.channel >= sizes.first) {
        dskip_set(quad.position * second + quad.channel - sizes.first, quad.left, values);
        return;
    }
    let own = sizes.first - quad.channel;
    dx_set(quad.position * sizes.first + quad.channel, min(quad.left, own), values);
    if (own < min(quad.left, 4u)) {
        var others = vec4(values.yzw, 0.0);
        if (own == 2u) {
            others = vec4(values.zw, 0.0, 0.0);
        } else if (own == 3u) {
            others = vec4(values.w, 0.0, 0.0, 0.0);
        }
        dskip_set(quad.position * second, min(quad.left, 4u) - own, others);
    }
}
