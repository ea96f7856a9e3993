// The gradient to the input of layer_norm.wgsl. With g = gamma * dy and xhat the normalised input, made again:
// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), on top of the gradients that were collected before.
//
// One workgroup does one row.

//#import shared/row
//#import shared/totals

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.x);
    let start = id.x * sizes.width;
    var sums = vec2<f32>();
    for (var column = 4u * lane; column < sizes.width; column += 4u * LANES) {
        let rest = sizes.width - column;
        let xhat = (x_at(start + column, rest) - moments.x) * moments.y;
        // After the end of the row dy is zero, and so is g.
        let g = dy_at(start + column, rest) * gamma_at(column, rest);
        sums += vec2(dot(g, vec4(1.0)), dot(g, xhat));
    }
    let means = totals(lane, sums) / f32(sizes.width);
    for (var column = 4u * lane; column < sizes.width; column += 4u * LANES) {
        let rest = sizes.width - column;
        let xhat = (x_at(start + column, rest) - moments.x) * moments.y;
        let g = dy_at(start + column, rest) * gamma_at(column, rest);
        let dx = moments.y * (g - means.x - xhat * means.y);
        result_set(start + column, rest, dx + collected_at(start + column, rest));
    }
}
