// What the kernels of a convolution share: the weight, four values at a time, and the result. Beyond the last channel or the
// last output channel there are zeros.

//#import shared/conv2d_sizes

// Windows of all pictures: the rows of the product.
fn row_count() -> u32 {
    return sizes.batch * sizes.out_height * sizes.out_width;
}

// Four values of an output channel's weight. `tap` is where those of a tap begin in it.
fn weight_quad(column: u32, tap: u32, channel: u32, pitch: u32) -> vec4<f32> {
    let inside = (column < sizes.columns) & (channel < sizes.channels);
    let at = select(0u, column * pitch + tap + channel, inside);
    return select(vec4<f32>(), weight_at(at, select(1u, sizes.channels - channel, inside)), inside);
}

// The same of four output channels.
fn weight_block(column: u32, tap: u32, channel: u32, pitch: u32) -> mat4x4<f32> {
    return mat4x4(
        weight_quad(column, tap, channel, pitch),
        weight_quad(column + 1u, tap, channel, pitch),
        weight_quad(column + 2u, tap, channel, pitch),
        weight_quad(column + 3u, tap, channel, pitch),
    );
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < row_count() && column < sizes.columns) {
        let left = sizes.columns - column;
        let at = row * sizes.columns + column;
        let sample = row / (sizes.out_height * sizes.out_width);
        let bias_place = sizes.bias_first + sample * sizes.bias_pitch + column;
        result_set(at, left, values + bias_at(bias_place, left) + residual_at(at, left));
    }
}
