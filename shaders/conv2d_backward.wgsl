// The gradient to the input of conv2d.wgsl, as one product: a row is a pixel of the input, a column one of its channels, and
// the inner axis all outputs that saw the pixel, tap by tap.
//
// With a stride s, pixels whose coordinates leave the same remainders were seen by the same taps. Each class of remainders
// is a product of its own (the third axis of the workgroups), so that no tap is computed that saw nothing.
//
// map is the gradient [B, out_height, out_width, channels], weight [channels, taps, columns], collected and result
// [B, height, width, columns].
//
// One workgroup makes one tile of one class: shared/tile.wgsl.

//#import shared/tile
//#import shared/settled
//#import shared/tile_finish
//#import shared/conv2d_backward

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

    begin(lane);
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
                var map_rows = mat4x4<f32>();
                if (fills_left(lane)) {
                    map_rows = pixel_block(pixels, channel);
                }
                keep_left(lane, depth_quad, row_quad, map_rows);
                for (var i = lane; i < DEPTH * TILE_COLUMNS / 4u; i += LANES) {
                    let step = i / (TILE_COLUMNS / 4u);
                    let quad = i % (TILE_COLUMNS / 4u);
                    right_strip[step * RIGHT_PITCH + quad] =
                        Strip(weight_quad(start + step, tap, first_column + 4u * quad, taps));
                }
                workgroupBarrier();
                multiply(lane);
            }
        }
    }
    finish(lane, first_row, first_column);
}
