// A convolution of a channels-last feature map with a frozen weight, plus a bias, as one product: a row is a window of the
// picture, a column an output channel, and the inner axis all values of a window. The windows are never written out: each
// strip of them is gathered from the picture, one tap of the window at a time.
//
// picture is [B, height, width, channels], weight [columns, taps, channels], result [B, out_height, out_width, columns].
//
// One workgroup makes one tile of the result: shared/tile.wgsl.
//
// Bindings: picture, weight (f32 or f16), bias (f32, f16 or none), result, sizes (uniform). Limits: 4 storage buffers, at
// most 12.5 KiB of workgroup memory, 128 invocations.

struct Sizes {
    rows: u32,
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

// Four values of a pixel; pixels outside the picture are zeros.
fn pixel_quad(pixel: i32, channel: u32) -> vec4<f32> {
    if (pixel >= 0 && channel < sizes.channels) {
        return picture_at(u32(pixel) * sizes.channels + channel, sizes.channels - channel);
    }
    return vec4<f32>();
}

// Four values of an output channel's weight. `tap` is where those of a tap begin in it.
fn weight_quad(column: u32, tap: u32, channel: u32, pitch: u32) -> vec4<f32> {
    if (column < sizes.columns && channel < sizes.channels) {
        return weight_at(column * pitch + tap + channel, sizes.channels - channel);
    }
    return vec4<f32>();
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let left = sizes.columns - column;
        result_set(row * sizes.columns + column, left, values + bias_at(column, left));
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let depth_quad = lane % DEPTH_QUADS;
    let row_quad = lane / DEPTH_QUADS;

    // Where the windows of this invocation's four rows begin, and the first row of their picture.
    let rows = vec4(first_row + 4u * row_quad) + vec4(0u, 1u, 2u, 3u);
    let sample = rows / (sizes.out_height * sizes.out_width);
    let place = rows % (sizes.out_height * sizes.out_width);
    let window_y = vec4<i32>(place / sizes.out_width * sizes.stride) - vec4(i32(sizes.top));
    let window_x = vec4<i32>(place % sizes.out_width * sizes.stride) - vec4(i32(sizes.left));
    let picture_row = vec4<i32>(sample * sizes.height);

    let taps = sizes.window_height * sizes.window_width;
    for (var tap = 0u; tap < taps; tap += 1u) {
        let y = window_y + vec4(i32(tap / sizes.window_width));
        let x = window_x + vec4(i32(tap % sizes.window_width));
        let inside = (y >= vec4(0)) & (y < vec4(i32(sizes.height))) & (x >= vec4(0)) & (x < vec4(i32(sizes.width)))
            & (rows < vec4(sizes.rows));
        let pixels = select(vec4(-1), (picture_row + y) * i32(sizes.width) + x, inside);
        for (var start = 0u; start < sizes.channels; start += DEPTH) {
            let channel = start + 4u * depth_quad;
            keep_left(
                depth_quad,
                row_quad,
                mat4x4(
                    pixel_quad(pixels.x, channel),
                    pixel_quad(pixels.y, channel),
                    pixel_quad(pixels.z, channel),
                    pixel_quad(pixels.w, channel),
                ),
            );
            for (var quad = lane / DEPTH_QUADS; quad < TILE_COLUMNS / 4u; quad += LANES / DEPTH_QUADS) {
                let column = first_column + 4u * quad;
                let tap_start = tap * sizes.channels;
                let pitch = taps * sizes.channels;
                keep_right(
                    depth_quad,
                    quad,
                    mat4x4(
                        weight_quad(column, tap_start, channel, pitch),
                        weight_quad(column + 1u, tap_start, channel, pitch),
                        weight_quad(column + 2u, tap_start, channel, pitch),
                        weight_quad(column + 3u, tap_start, channel, pitch),
                    ),
                );
            }
            workgroupBarrier();
            multiply(lane);
            workgroupBarrier();
        }
    }
    finish(lane, first_row, first_column);
}
