// The activations and their slopes.

//#import shared/gelu

// 0 is silu, 1 is CLIP's quick_gelu, 2 is gelu; 3 is geglu, which is not a function of single values.
const KIND: u32 = {{ kind }}u;

// What the argument of the sigmoid is multiplied by, in the first two.
fn steepness() -> f32 {
    return select(1.0, 1.702, KIND == 1u);
}

fn activated(x: vec4<f32>) -> vec4<f32> {
    if (KIND == 2u) {
        return gelu(x);
    }
    return x / (1.0 + exp(-steepness() * x));
}

fn activated_slope(x: vec4<f32>) -> vec4<f32> {
    if (KIND == 2u) {
        return gelu_slope(x);
    }
    let z = steepness() * x;
    let s = 1.0 / (1.0 + exp(-z));
    return s * (1.0 + z * (1.0 - s));
}
