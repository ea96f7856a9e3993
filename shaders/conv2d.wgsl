// A convolution of a channels-last feature map with a frozen weight, plus a bias and a residual, as one product: a row is a
// window of the picture, a column an output channel, and the inner axis all values of a window. The windows are never
// written out: each strip of them is gathered from the picture, one tap of the window at a time.
//
// map is the picture [B, height, width, channels], weight [columns, taps, channels], residual and result [B, out_height, out_width,
// columns].
//
// One workgroup makes one tile of the result: shared/tile.wgsl.

//#import shared/tile
//#import shared/settled
//#import shared/tile_finish
//#import shared/conv2d

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    begin(lane);
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
            & (rows < vec4(row_count()));
        let pixels = select(vec4(-1), (picture_row + y) * i32(sizes.width) + x, inside);
        for (var start = 0u; start < sizes.channels; start += DEPTH) {
            let channel = start + 4u * depth_quad;
            var map_rows = mat4x4<f32>();
            if (fills_left(lane)) {
                map_rows = pixel_block(pixels, channel);
            }
            keep_left(lane, depth_quad, row_quad, map_rows);
            for (var quad = lane / DEPTH_QUADS; quad < TILE_COLUMNS / 4u; quad += LANES / DEPTH_QUADS) {
                let column = first_column + 4u * quad;
                keep_right(depth_quad, quad, weight_block(column, tap * sizes.channels, channel, taps * sizes.channels));
            }
            workgroupBarrier();
            multiply(lane);
        }
    }
    finish(lane, first_row, first_column);
}
