// What brings a factor into f16's range, and the product back out of it: powers of two, which change no digit.
//
// `magnitudes` holds what `magnitude.wgsl` found: {{ magnitudes }} values, the largest of which is the largest of the factor.

const MAGNITUDES: u32 = {{ magnitudes }}u;

// By what the left factor is multiplied, so that its largest value lies from 2^13 to 2^14, and by what the product is then.
// Infinity and NaN stay what they are.
fn scales() -> vec2<f32> {
    var most = vec4<f32>();
    for (var i = 0u; i < MAGNITUDES; i += 4u) {
        most = max(most, magnitudes_at(i, 4u));
    }
    let exponent = bitcast<u32>(max(max(most.x, most.y), max(most.z, most.w))) >> 23u;
    let up = select(min(267u - min(exponent, 254u), 253u), 127u, exponent >= 255u);
    return vec2(bitcast<f32>(up << 23u), bitcast<f32>((254u - up) << 23u));
}
