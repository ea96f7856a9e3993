// What the pointwise activations share: the function that is meant, the sizes, and which values an invocation has: four
// neighbours.

//#import shared/gelu

// 0 is silu, 1 is CLIP's quick_gelu, 2 is gelu.
const KIND: u32 = {{ kind }}u;
const LANES: u32 = {{ lanes }}u;

struct Sizes {
    count: u32,
    // Workgroups side by side.
    across: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// The first of the four; beyond the last there may be invocations without any.
fn first(group: vec3<u32>, lane: u32) -> u32 {
    return 4u * ((group.y * sizes.across + group.x) * LANES + lane);
}

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
