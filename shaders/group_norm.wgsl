// Group normalisation of a channels-last feature map, scaled and shifted, then silu if SILU is 1.
//
// One workgroup does one group of one sample: two passes for mean and spread, a third to write.
//
// Bindings: x (shared), gamma, beta, y. Limits: 4 storage buffers, 1 KiB of workgroup memory, 256 invocations.

@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = first_of(id.x);
    let moments = moments(lane, first);
    for (var i = lane; i < COUNT; i += LANES) {
        let channel = (id.x % GROUPS) * PER_GROUP + i % PER_GROUP;
        var z = (x[place(first, i)] - moments.x) * moments.y * gamma[channel] + beta[channel];
        if (SILU == 1) {
            z = z / (1.0 + exp(-z));
        }
        y[place(first, i)] = z;
    }
}
