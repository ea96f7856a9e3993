// The left factor of a linear layer's tile, as it is.

//#import shared/settled

fn begin_left(row: u32) {}

// Four rows of four values each, along the inner axis.
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    return mat4x4(left_quad(row, k), left_quad(row + 1u, k), left_quad(row + 2u, k), left_quad(row + 3u, k));
}

fn end_left(lane: u32, depth_quad: u32, row_quad: u32) {}
