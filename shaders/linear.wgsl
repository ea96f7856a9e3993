// The product of rows with a frozen weight, plus a bias and a residual: a linear layer, or the gradient to its input, where
// the residual is what other gradients came to before.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1 (a layer's weight, going forward), else
// [inner, columns] (the same weight, going back). residual and result are
// [rows, columns], or, of several weights at once, a plane of [rows, plane] for each: shared/linear.wgsl.
//
// One workgroup makes one tile of the result: shared/tile.wgsl.

//#import shared/tile
//#import shared/linear

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    begin(lane);
    let depth_quad = lane % DEPTH_QUADS;
    let left_row_quad = lane / DEPTH_QUADS;
    let row = first_row + 4u * left_row_quad;
    for (var start = 0u; start < sizes.inner; start += DEPTH) {
        let k = start + 4u * depth_quad;
        var rows = mat4x4<f32>();
        if (fills_left(lane)) {
            rows = mat4x4(left_quad(row, k), left_quad(row + 1u, k), left_quad(row + 2u, k), left_quad(row + 3u, k));
        }
        keep_left(lane, depth_quad, left_row_quad, rows);
        if (BY_COLUMNS == 1u) {
            for (var quad = lane / DEPTH_QUADS; quad < TILE_COLUMNS / 4u; quad += LANES / DEPTH_QUADS) {
                let column = first_column + 4u * quad;
                keep_right(depth_quad, quad, column_block(column, k));
            }
        } else {
            for (var i = lane; i < DEPTH * TILE_COLUMNS / 4u; i += LANES) {
                let step = i / (TILE_COLUMNS / 4u);
                let quad = i % (TILE_COLUMNS / 4u);
                right_strip[step * RIGHT_PITCH + quad] = Strip(row_quad(start + step, first_column + 4u * quad));
            }
        }
        workgroupBarrier();
        multiply(lane);
    }
    finish(lane, first_row, first_column);
}
