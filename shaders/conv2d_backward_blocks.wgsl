// What conv2d_backward.wgsl computes, for software GPUs: shared/block.wgsl.
//
// map is the gradient [B, out_height, out_width, channels], weight [channels, taps, columns], collected and result
// [B, height, width, columns].

//#import shared/block
//#import shared/conv2d_backward

// Prepares `emit` for a class of pixels; gives how many the class has.
fn begin(kind: u32) -> u32 {
    origin = vec2(kind % sizes.stride, kind / sizes.stride);
    extent = (vec2(sizes.width, sizes.height) + sizes.stride - 1u - origin) / sizes.stride;
    return sizes.batch * extent.x * extent.y;
}

// A pixel of this class, counted from the corner of the padding: column and row, and the first row of its output.
fn padded(row: u32) -> vec3<u32> {
    let area = extent.x * extent.y;
    let x = row % extent.x * sizes.stride + origin.x + sizes.left;
    let y = row % area / extent.x * sizes.stride + origin.y + sizes.top;
    return vec3(x, y, row / area * sizes.out_height);
}

// The output pixel that saw a pixel by a tap; negative if none did.
fn seen_by(place: vec3<u32>, tap: vec2<u32>) -> i32 {
    // Exact divisions: the tap has the remainder of the class.
    let at = (place.xy - tap) / sizes.stride;
    let inside = place.x >= tap.x && at.x < sizes.out_width && place.y >= tap.y && at.y < sizes.out_height;
    return select(-1, i32((place.z + at.y) * sizes.out_width + at.x), inside);
}

// Four output channels, each with what it does to four columns.
fn weight_block(channel: u32, tap: u32, column: u32, taps: u32) -> mat4x4<f32> {
    return mat4x4(
        weight_quad(channel, tap, column, taps),
        weight_quad(channel + 1u, tap, column, taps),
        weight_quad(channel + 2u, tap, column, taps),
        weight_quad(channel + 3u, tap, column, taps),
    );
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = corner((group.x + sizes.first_group) * LANES + lane, sizes.columns);
    let rows = begin(group.z);
    if (first.y >= rows) {
        return;
    }
    // Rows beyond the last are computed as the last, and left out.
    let place{{ row }} = padded(min(first.y + {{ row }}u, rows - 1u));
    let taps = sizes.window_height * sizes.window_width;
    let first_tap = (origin + vec2(sizes.left, sizes.top)) % sizes.stride;
    var sum{{ row }}_{{ quad }} = vec4<f32>();
    for (var tap_y = first_tap.y; tap_y < sizes.window_height; tap_y += sizes.stride) {
        for (var tap_x = first_tap.x; tap_x < sizes.window_width; tap_x += sizes.stride) {
            let pixel{{ row }} = seen_by(place{{ row }}, vec2(tap_x, tap_y));
            let tap = tap_y * sizes.window_width + tap_x;
            for (var channel = 0u; channel < sizes.channels; channel += 4u) {
                let weight{{ quad }} = weight_block(channel, tap, first.x + 4u * {{ quad }}u, taps);
                let left{{ row }} = pixel_quad(pixel{{ row }}, channel);
                sum{{ row }}_{{ quad }} += weight{{ quad }} * left{{ row }};
            }
        }
    }
    emit(first.y + {{ row }}u, first.x + 4u * {{ quad }}u, sum{{ row }}_{{ quad }});
}
