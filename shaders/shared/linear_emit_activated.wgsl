// The result of a linear layer and what an activation makes of it.

//#import shared/activated

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let at = row * sizes.columns + column;
        let x = values + bias_at(column, 4u);
        before_set(at, 4u, x);
        result_set(at, 4u, activated(x));
    }
}
