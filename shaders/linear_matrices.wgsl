// What linear.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1, else [inner, columns]. residual and result are
// planes of [rows, plane] one after another: shared/linear.wgsl.

//#import shared/matrices
//#import shared/linear

fn right_quad(lane: u32, load: u32, first_column: u32, start: u32) -> vec4<f32> {
    if (BY_COLUMNS == 1u) {
        return column_quad(first_column + row_of(lane, load), start + 4u * (lane % DEPTH_QUADS));
    }
    return row_quad(start + step_of(lane, load), first_column + 4u * quad_of(lane, load));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let scale = scales();
    let depth_quad = lane % DEPTH_QUADS;
    for (var first_share = 0u; first_share < SHARES; first_share += subgroups) {
        clear();
        var left{{ left_load }} = left_quad(first_row + row_of(lane, {{ left_load }}u), 4u * depth_quad);
        var right{{ right_load }} = right_quad(lane, {{ right_load }}u, first_column, 0u);
        for (var start = 0u; start < sizes.inner; start += DEPTH) {
            workgroupBarrier();
            keep_left(lane, {{ left_load }}u, scale.x * left{{ left_load }});
            keep_right(lane, {{ right_load }}u, right{{ right_load }});
            workgroupBarrier();
            left{{ left_load }} = left_quad(first_row + row_of(lane, {{ left_load }}u), start + DEPTH + 4u * depth_quad);
            right{{ right_load }} = right_quad(lane, {{ right_load }}u, first_column, start + DEPTH);
            multiply(first_share + subgroup);
        }
        finish(Exit(lane, first_share + subgroup, first_share, subgroups, first_row, first_column, scale.y));
    }
}
