// The gradient to what went into an activation, from what it was and the product, the gradient to what came out.

//#import shared/activated

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let at = row * sizes.columns + column;
        if (KIND == 3u) {
            let value_place = at + row * sizes.columns;
            let gate_place = value_place + sizes.columns;
            let slopes = geglu_slope(before_at(value_place, 4u), before_at(gate_place, 4u), values);
            result_set(value_place, 4u, slopes[0]);
            result_set(gate_place, 4u, slopes[1]);
        } else {
            result_set(at, 4u, values * activated_slope(before_at(at, 4u)));
        }
    }
}
