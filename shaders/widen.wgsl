// Values stored as halves or in eight bits, in f32: for what has no kernel that reads them as they are stored.
//
// One invocation widens four neighbouring values.

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    count: u32,
    // Workgroups side by side.
    across: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = 4u * ((group.y * sizes.across + group.x) * LANES + lane);
    if (at < sizes.count) {
        let rest = min(4u, sizes.count - at);
        result_set(at, rest, stored_at(at, rest));
    }
}
