// A weighted sum of up to five tensors of the same values, written once or several times, one after the other.
//
// One invocation makes four neighbouring values.

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    count: u32,
    // Workgroups side by side.
    across: u32,
    copies: u32,
    weight_a: f32,
    weight_b: f32,
    weight_c: f32,
    weight_d: f32,
    weight_e: f32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = 4u * ((group.y * sizes.across + group.x) * LANES + lane);
    if (at < sizes.count) {
        let rest = sizes.count - at;
        var sum = sizes.weight_a * a_at(at, rest) + sizes.weight_b * b_at(at, rest);
        sum += sizes.weight_c * c_at(at, rest) + sizes.weight_d * d_at(at, rest) + sizes.weight_e * e_at(at, rest);
        for (var copy = 0u; copy < sizes.copies; copy += 1u) {
            result_set(copy * sizes.count + at, rest, sum);
        }
    }
}
