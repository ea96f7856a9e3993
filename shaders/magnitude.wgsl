// The largest magnitudes of the parts of a tensor: `shared/scale.wgsl` makes a scale of them.
//
// x is [values], a multiple of four; result is [groups], one value for each workgroup.

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    values: u32,
    groups: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

var<workgroup> largest: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var most = vec4<f32>();
    for (var at = 4u * (group.x * LANES + lane); at < sizes.values; at += 4u * LANES * sizes.groups) {
        most = max(most, abs(x_at(at, sizes.values - at)));
    }
    largest[lane] = max(max(most.x, most.y), max(most.z, most.w));
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            largest[lane] = max(largest[lane], largest[lane + half]);
        }
    }
    if (lane == 0u) {
        result_set(group.x, 1u, vec4(largest[0], 0.0, 0.0, 0.0));
    }
}
