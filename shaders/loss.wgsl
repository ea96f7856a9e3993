// The mean of weighted squared differences, and its gradient to the prediction: both at once, since the gradient to the loss is
// only a factor.
//
// prediction, target_values and result, the gradient, have as many values; weights has one for each so many of them. mean is one value.
// One workgroup does all of it: latents are small.

//#import shared/totals

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    count: u32,
    // Values, a multiple of four, that share a weight; 0 where all weights are 1.
    each: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

fn weight_of(at: u32) -> f32 {
    return select(weights_at(at / max(sizes.each, 1u), 1u).x, 1.0, sizes.each == 0u);
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var at = 4u * lane; at < sizes.count; at += 4u * LANES) {
        let rest = sizes.count - at;
        let difference = prediction_at(at, rest) - target_values_at(at, rest);
        let weighted = weight_of(at) * difference;
        result_set(at, rest, 2.0 / f32(sizes.count) * weighted);
        sum += dot(weighted, difference);
    }
    let total = totals(lane, vec2(sum, 0.0)).x;
    if (lane == 0u) {
        mean_set(0u, 1u, vec4(total / f32(sizes.count), 0.0, 0.0, 0.0));
    }
}
