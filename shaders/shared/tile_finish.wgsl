// How a tile's values are written: a kernel made of this has a function `emit(row, column, values)`, which writes four columns
// of a row, and one, `settled(values, place, column)`, which makes them of sums; `place` is the invocation's quad of rows and
// the row in it.

fn emit_block(row: u32, column: u32, block: mat4x4<f32>, quad: u32) {
    emit(row, column, settled(block[0], vec2(quad, 0u), column));
    emit(row + 1u, column, settled(block[1], vec2(quad, 1u), column));
    emit(row + 2u, column, settled(block[2], vec2(quad, 2u), column));
    emit(row + 3u, column, settled(block[3], vec2(quad, 3u), column));
}

// Gives this invocation's values to `emit`, four columns of a row at a time; it leaves out what is beyond the result.
fn finish(lane: u32, first_row: u32, first_column: u32) {
    let row = first_row + 4u * (lane / ACROSS);
    let column = first_column + 4u * (lane % ACROSS);
    emit_block(row, column, sums00, 0u);
    if (COLUMN_QUADS == 2u) {
        emit_block(row, column + 4u * ACROSS, sums01, 0u);
    }
    if (ROW_QUADS == 2u) {
        emit_block(row + 4u * DOWN, column, sums10, 1u);
        if (COLUMN_QUADS == 2u) {
            emit_block(row + 4u * DOWN, column + 4u * ACROSS, sums11, 1u);
        }
    }
}
