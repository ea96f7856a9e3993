// What the pointwise activations share: the sizes, and which values an invocation has: four neighbours.

//#import shared/activated

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
