// A tile's strips in f16: half the workgroup memory to read. Products and sums are in f32.

enable f16;

//#import shared/scale

alias Strip = vec4<f16>;

// By what the left factor is multiplied.
var<private> scale: f32 = 1.0;

fn begin(lane: u32) {
    forget_peaks(lane);
}

// Waits until the strips may be filled; gives what is to be kept of these values of the left one.
fn fitted(rows: mat4x4<f32>) -> mat4x4<f32> {
    meet(0u, max(max(largest(rows[0]), largest(rows[1])), max(largest(rows[2]), largest(rows[3]))));
    workgroupBarrier();
    let now = scale_of(0u);
    if (now != scale) {
        multiply_sums(now * inverse(scale));
        scale = now;
    }
    return scale * rows;
}

// By what the sums are multiplied in the end.
fn way_back() -> f32 {
    return inverse(scale);
}

// What invocations tell each other in the end, in f32: two vectors for each block of the left strip.
var<workgroup> messages: array<vec4<f32>, 2u * LEFT_BLOCKS>;

fn tell(at: u32, values: vec4<f32>) {
    messages[at] = values;
}

fn told(at: u32) -> vec4<f32> {
    return messages[at];
}
