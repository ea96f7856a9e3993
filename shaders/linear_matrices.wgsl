// What linear.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1, else [inner, columns]. residual and result are
// planes of [rows, plane] one after another: shared/linear.wgsl.

//#import shared/matrices
//#import shared/linear
//#import shared/linear_emit

// The tile's first row and column.
var<private> corner: vec2<u32>;

fn strips() -> u32 {
    return (sizes.inner + DEPTH - 1u) / DEPTH;
}

fn left_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    return left_quad(corner.x + row_of(lane, load), strip * DEPTH + 4u * (lane % DEPTH_QUADS));
}

fn right_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    if (BY_COLUMNS == 1u) {
        return column_quad(corner.y + row_of(lane, load), strip * DEPTH + 4u * (lane % DEPTH_QUADS));
    }
    return row_quad(strip * DEPTH + step_of(lane, load), corner.y + 4u * quad_of(lane, load));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    corner = vec2((group.y + sizes.first_group) * TILE_ROWS, group.x * TILE_COLUMNS);
    make_tile(lane, subgroup, subgroups, corner.x, corner.y);
}
