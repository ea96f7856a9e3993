// What the GEGLU kernels share: the sizes, and which values an invocation has: four neighbours of [rows, width].

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    width: u32,
    count: u32,
    // Workgroups side by side.
    across: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// The first of the four; beyond the last there may be invocations without any.
fn first(group: vec3<u32>, lane: u32) -> u32 {
    return 4u * ((group.y * sizes.across + group.x) * LANES + lane);
}

// Where their values are in rows [value, gate]; the gates are a width further.
fn value_of(at: u32) -> u32 {
    return at + at / sizes.width * sizes.width;
}
