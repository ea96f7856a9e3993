// Layer normalisation of the rows of [rows, width], scaled and shifted.
//
// One workgroup does one row: two passes for mean and spread, a third to write; a row stays in the cache.

//#import shared/row

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let moments = moments(lane, id.x);
    for (var column = 4u * lane; column < sizes.width; column += 4u * LANES) {
        let at = id.x * sizes.width + column;
        let rest = sizes.width - column;
        let xhat = (x_at(at, rest) - moments.x) * moments.y;
        result_set(at, rest, xhat * gamma_at(column, rest) + beta_at(column, rest));
    }
}
