// What the kernels of a convolution share: picture and weight, four values at a time, and the result. Beyond the picture, the
// last channel or the last output channel there are zeros.

struct Sizes {
    rows: u32,
    columns: u32,
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
    window_height: u32,
    window_width: u32,
    stride: u32,
    top: u32,
    left: u32,
    // Rows of workgroups (or, of blocks, workgroups) before this launch's, where a product is cut into several.
    first_group: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// Four values of a pixel; pixels outside the picture are zeros.
fn pixel_quad(pixel: i32, channel: u32) -> vec4<f32> {
    if (pixel >= 0 && channel < sizes.channels) {
        return picture_at(u32(pixel) * sizes.channels + channel, sizes.channels - channel);
    }
    return vec4<f32>();
}

// Four values of an output channel's weight. `tap` is where those of a tap begin in it.
fn weight_quad(column: u32, tap: u32, channel: u32, pitch: u32) -> vec4<f32> {
    if (column < sizes.columns && channel < sizes.channels) {
        return weight_at(column * pitch + tap + channel, sizes.channels - channel);
    }
    return vec4<f32>();
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let left = sizes.columns - column;
        let at = row * sizes.columns + column;
        result_set(at, left, values + bias_at(column, left) + residual_at(at, left));
    }
}

