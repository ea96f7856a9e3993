// The sums of the shares of several tensors, in which an attention's gradients to keys and values come.
//
// x has a plane for each tensor, in which its shares lie one after another; each plane of the result is their sum. One
// invocation makes four neighbouring values of the plane of its workgroup.

const LANES: u32 = {{ lanes }}u;

struct Sizes {
    // Values of a tensor.
    count: u32,
    shares: u32,
    // Values from the beginning of one plane to that of the next, of x and of the result.
    pitch: u32,
    result_pitch: u32,
    // Workgroups side by side.
    across: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = 4u * ((group.y * sizes.across + group.x) * LANES + lane);
    if (at < sizes.count) {
        let rest = sizes.count - at;
        var sum = vec4<f32>();
        for (var share = 0u; share < sizes.shares; share += 1u) {
            sum += x_at(group.z * sizes.pitch + share * sizes.count + at, rest);
        }
        result_set(group.z * sizes.result_pitch + at, rest, sum);
    }
}
