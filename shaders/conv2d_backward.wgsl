// The gradient to the input of conv2d.wgsl, as one product: a row is a pixel of the input, a column one of its channels, and
// the inner axis all outputs that saw the pixel, tap by tap.
//
// With a stride s, pixels whose coordinates leave the same remainders were seen by the same taps. Each class of remainders
// is a product of its own (the third axis of the workgroups), so that no tap is computed that saw nothing.
//
// gradient is [B, out_height, out_width, channels], weight [channels, taps, columns], result [B, height, width, columns].
//
// One workgroup makes one tile of one class: shared/tile.wgsl.
//
// Bindings: gradient, weight (f32 or f16), result, sizes (uniform). Limits: 3 storage buffers, at most 12.5 KiB of
// workgroup memory, 128 invocations.

struct Sizes {
    batch: u32,
    columns: u32,
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
    window_height: u32,
    window_width: u32,
    stride: u32,
    top: u32,
    left: u32,
    // Rows of workgroups before this launch's, where a product is cut into several.
    first_group: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// The first row and column of this workgroup's class, and how many it has of each.
var<private> origin: vec2<u32>;
var<private> extent: vec2<u32>;

// Four values of an output pixel's gradient; pixels outside are zeros.
fn gradient_quad(pixel: i32, channel: u32) -> vec4<f32> {
    if (pixel >= 0 && channel < sizes.channels) {
        return gradient_at(u32(pixel) * sizes.channels + channel, sizes.channels - channel);
    }
    return vec4<f32>();
}

// Four columns of what an output channel does with a tap.
fn weight_quad(channel: u32, tap: u32, column: u32, taps: u32) -> vec4<f32> {
    if (channel < sizes.channels && column < sizes.columns) {
        return weight_at((channel * taps + tap) * sizes.columns + column, sizes.columns - column);
    }
    return vec4<f32>();
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    let area = extent.x * extent.y;
    if (row < sizes.batch * area && column < sizes.columns) {
        let y = origin.y + sizes.stride * (row % area / extent.x);
        let x = origin.x + sizes.stride * (row % extent.x);
        let pixel = (row / area * sizes.height + y) * sizes.width + x;
        result_set(pixel * sizes.columns + column, sizes.columns - column, values);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    // A small picture may have no pixel of the last classes: such a workgroup has no rows.
    let first = vec2(group.z % sizes.stride, group.z / sizes.stride);
    let size = (vec2(sizes.width, sizes.height) + sizes.stride - 1u - first) / sizes.stride;
    let area = size.x * size.y;
    if (first_row >= sizes.batch * area) {
        return;
    }
    origin = first;
    extent = size;

    let depth_quad = lane % DEPTH_QUADS;
    let row_quad = lane / DEPTH_QUADS;
    // This invocation's four pixels, counted from the corner of the padding.
    let rows = vec4(first_row + 4u * row_quad) + vec4(0u, 1u, 2u, 3u);
    let sample = rows / area;
    let padded_y = vec4<i32>(rows % area / size.x * sizes.stride + first.y + sizes.top);
    let padded_x = vec4<i32>(rows % size.x * sizes.stride + first.x + sizes.left);
    let picture_row = vec4<i32>(sample * sizes.out_height);
    let stride = i32(sizes.stride);

    let taps = sizes.window_height * sizes.window_width;
    let first_tap = (first + vec2(sizes.left, sizes.top)) % sizes.stride;
    for (var tap_y = first_tap.y; tap_y < sizes.window_height; tap_y += sizes.stride) {
        for (var tap_x = first_tap.x; tap_x < sizes.window_width; tap_x += sizes.stride) {
            // Exact divisions: the tap has the remainder of the class. Negative ones are never used.
            let y = padded_y - vec4(i32(tap_y));
            let x = padded_x - vec4(i32(tap_x));
            let inside = (y >= vec4(0)) & (y < vec4(i32(sizes.out_height) * stride)) & (x >= vec4(0))
                & (x < vec4(i32(sizes.out_width) * stride)) & (rows < vec4(sizes.batch * area));
            let pixels = select(vec4(-1), (picture_row + y / stride) * i32(sizes.out_width) + x / stride, inside);
            let tap = tap_y * sizes.window_width + tap_x;
            for (var start = 0u; start < sizes.channels; start += DEPTH) {
                let channel = start + 4u * depth_quad;
                keep_left(
                    depth_quad,
                    row_quad,
                    mat4x4(
                        gradient_quad(pixels.x, channel),
                        gradient_quad(pixels.y, channel),
                        gradient_quad(pixels.z, channel),
                        gradient_quad(pixels.w, channel),
                    ),
                );
                for (var i = lane; i < DEPTH * TILE_COLUMNS / 4u; i += LANES) {
                    let step = i / (TILE_COLUMNS / 4u);
                    let quad = i % (TILE_COLUMNS / 4u);
                    right_strip[step * RIGHT_PITCH + quad] =
                        weight_quad(start + step, tap, first_column + 4u * quad, taps);
                }
                workgroupBarrier();
                multiply(lane);
                workgroupBarrier();
            }
        }
    }
    finish(lane, first_row, first_column);
}
