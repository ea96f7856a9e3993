// The left factor of a linear layer's tile, as it is, where it is made with matrices.

//#import shared/matrices_plain

fn left_part(load: u32, row: u32, k: u32) -> vec4<f32> {
    return left_quad(row, k);
}
