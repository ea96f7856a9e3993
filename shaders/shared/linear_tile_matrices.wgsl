// A tile of a linear layer's product, made with cooperative matrices: shared/matrices.wgsl. Which columns of the right factor it
// is made of, `column_of`, and what the left factor is, `left_part`, are the affair of a kernel made of this.

//#import shared/matrices
//#import shared/linear

// The tile's first row and column.
var<private> corner: vec2<u32>;

fn strips() -> u32 {
    return (sizes.inner + DEPTH - 1u) / DEPTH;
}

fn left_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    return left_part(load, corner.x + row_of(lane, load), strip * DEPTH + 4u * (lane % DEPTH_QUADS));
}

fn right_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    if (BY_COLUMNS == 1u) {
        let column = row_of(lane, load);
        return column_quad(column_of(corner.y, column / 4u) + column % 4u, strip * DEPTH + 4u * (lane % DEPTH_QUADS));
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
