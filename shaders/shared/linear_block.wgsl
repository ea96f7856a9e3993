// A block of a linear layer's product, for software GPUs: shared/block.wgsl.

//#import shared/block
//#import shared/linear

// Four steps of the inner axis, each with four columns.
fn right_block(k: u32, column: u32) -> mat4x4<f32> {
    if (BY_COLUMNS == 1u) {
        return transpose(column_block(column, k));
    }
    return mat4x4(row_quad(k, column), row_quad(k + 1u, column), row_quad(k + 2u, column), row_quad(k + 3u, column));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = corner((group.x + sizes.first_group) * LANES + lane, sizes.columns);
    if (first.y >= sizes.rows) {
        return;
    }
    var sum{{ row }}_{{ quad }} = vec4<f32>();
    for (var k = 0u; k < sizes.inner; k += 4u) {
        let right{{ quad }} = right_block(k, first.x + 4u * {{ quad }}u);
        let left{{ row }} = left_quad(first.y + {{ row }}u, k);
        sum{{ row }}_{{ quad }} += right{{ quad }} * left{{ row }};
    }
    emit(first.y + {{ row }}u, first.x + 4u * {{ quad }}u, sum{{ row }}_{{ quad }});
}
