// How a gated MLP's first layer is written. A tile has the values of some columns in its left half, and their gates in its right
// half, so that an invocation with two quads of columns has both.

//#import shared/linear_emit_pair

fn column_of(first_column: u32, quad: u32) -> u32 {
    let value = first_column / 2u + 4u * (quad % ACROSS);
    return value + select(0u, sizes.columns / 2u, quad >= ACROSS);
}

fn emit_pairs(row: u32, column: u32, values: mat4x4<f32>, gates: mat4x4<f32>, quad: u32) {
    let gate = sizes.columns / 2u + column;
    emit_pair(row, column, settled(values[0], vec2(quad, 0u), column), settled(gates[0], vec2(quad, 0u), gate));
    emit_pair(row + 1u, column, settled(values[1], vec2(quad, 1u), column), settled(gates[1], vec2(quad, 1u), gate));
    emit_pair(row + 2u, column, settled(values[2], vec2(quad, 2u), column), settled(gates[2], vec2(quad, 2u), gate));
    emit_pair(row + 3u, column, settled(values[3], vec2(quad, 3u), column), settled(gates[3], vec2(quad, 3u), gate));
}

fn finish(lane: u32, first_row: u32, first_column: u32) {
    let row = first_row + 4u * (lane / ACROSS);
    let column = first_column / 2u + 4u * (lane % ACROSS);
    emit_pairs(row, column, sums00, sums01, 0u);
    if (ROW_QUADS == 2u) {
        emit_pairs(row + 4u * DOWN, column, sums10, sums11, 1u);
    }
}
