// The gradients to the two inputs of group_norm_joined.wgsl, from what they were joined to: shared/group_backward.wgsl.

//#import shared/group_backward

// Of four channels the first may be the last ones of x, and the rest those of skip.
fn emit(quad: Quad, values: vec4<f32>) {
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
