// What the normalisation kernels share: sums over all LANES of a workgroup, which takes part as a whole.

var<workgroup> lanes: array<vec2<f32>, LANES>;

// The sum of two values of each lane, for all lanes.
fn totals(lane: u32, values: vec2<f32>) -> vec2<f32> {
    lanes[lane] = values;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lanes[lane] += lanes[lane + half];
        }
    }
    workgroupBarrier();
    let sums = lanes[0];
    workgroupBarrier();
    return sums;
}
