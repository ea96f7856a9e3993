// What brings computed values into f16's range, and their product back out of it: powers of two, which change no digit.
//
// The largest magnitude that a workgroup has met so far decides, so that nothing has to be measured before a launch: each
// invocation gives what it is about to keep to `meet`, and after a barrier `scale_of` says by what to multiply that. Where it
// says something else than before, sums are multiplied by the change, which hardly happens after the first strips.

// Factors of a kernel that are scaled, at most.
const FACTORS: u32 = 8u;

var<workgroup> peaks: array<atomic<u32>, FACTORS>;

// Before everything else. It ends with a barrier.
fn forget_peaks(lane: u32) {
    if (lane < FACTORS) {
        atomicStore(&peaks[lane], 0u);
    }
    workgroupBarrier();
}

fn largest(values: vec4<f32>) -> f32 {
    let magnitudes = abs(values);
    return max(max(magnitudes.x, magnitudes.y), max(magnitudes.z, magnitudes.w));
}

// Notes a magnitude. Those that are not negative have the order of their bits.
fn meet(factor: u32, magnitude: f32) {
    let bits = bitcast<u32>(magnitude);
    if (bits > atomicLoad(&peaks[factor])) {
        atomicMax(&peaks[factor], bits);
    }
}

// By what a factor is multiplied, so that its largest value lies from 2^13 to 2^14. What is beyond 2^74 or below 2^-74 is left to
// f16: with two such factors the change back would not be a number. The same for all invocations between two barriers.
fn scale_of(factor: u32) -> f32 {
    return bitcast<f32>(clamp(267u - (atomicLoad(&peaks[factor]) >> 23u), 67u, 187u) << 23u);
}

// One divided by a power of two, exactly.
fn inverse(power: f32) -> f32 {
    return bitcast<f32>((254u << 23u) - bitcast<u32>(power));
}
