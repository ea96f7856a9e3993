// Weights that are stored as f16, two to a word, as f32: for the moment of their use. Core WGSL reads them so on every device;
// the f16 type itself is an optional feature that many lack.
//
// Each invocation widens one word of every as many as there are invocations. The sizes are those of the buffers, so that one
// pipeline serves all weights.
//
// Bindings: halves, y. Limits: 2 storage buffers, no workgroup memory, 256 invocations.

@group(0) @binding(0) var<storage, read_write> halves: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let count = arrayLength(&y);
    for (var word = id.x; word * 2 < count; word += groups.x * 256) {
        let pair = unpack2x16float(halves[word]);
        y[word * 2] = pair.x;
        if (word * 2 + 1 < count) {
            y[word * 2 + 1] = pair.y;
        }
    }
}
