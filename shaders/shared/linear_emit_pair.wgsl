// What a gated MLP's first layer writes of four values and their gates.

//#import shared/gelu

fn emit_pair(row: u32, column: u32, value: vec4<f32>, gate: vec4<f32>) {
    let width = sizes.columns / 2u;
    if (row < sizes.rows && column < width) {
        let value_place = row * sizes.columns + column;
        let gated = gate + bias_at(width + column, 4u);
        let valued = value + bias_at(column, 4u);
        before_set(value_place, 4u, valued);
        before_set(value_place + width, 4u, gated);
        result_set(row * width + column, 4u, valued * gelu(gated));
    }
}
