// The result of a linear layer: the product, a bias and a residual.

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let within = column % sizes.plane;
        let left = sizes.plane - within;
        let at = column / sizes.plane * sizes.plane_pitch + row * sizes.plane + within;
        result_set(at, left, values + bias_at(column, left) + residual_at(at, left));
    }
}
