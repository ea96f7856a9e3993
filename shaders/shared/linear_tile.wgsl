// A tile of a linear layer's product: shared/tile.wgsl. Which columns of the right factor it is made of, `column_of`, and what
// the left factor is, `left_block`, are the affair of a kernel made of this.

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
    begin_left(row);
    for (var start = 0u; start < sizes.inner; start += DEPTH) {
        let k = start + 4u * depth_quad;
        var rows = mat4x4<f32>();
        if (fills_left(lane)) {
            rows = left_block(row, k);
        }
        keep_left(lane, depth_quad, left_row_quad, rows);
        if (BY_COLUMNS == 1u) {
            for (var quad = lane / DEPTH_QUADS; quad < TILE_COLUMNS / 4u; quad += LANES / DEPTH_QUADS) {
                let column = column_of(first_column, quad);
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
    end_left(lane, depth_quad, left_row_quad);
    finish(lane, first_row, first_column);
}
