// What the kernels of a convolution and of its gradient share: the sizes, and the map that is walked, four values at a time:
// the picture going forward, the gradient going back. Beyond it and its last channel there are zeros: shared/linear.wgsl says
// why nothing branches for that.

struct Sizes {
    batch: u32,
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
    // Where the first sample's bias begins, and from one sample's to the next, where each has its own.
    bias_first: u32,
    bias_pitch: u32,
    // Rows of workgroups (or, of blocks, workgroups) before this launch's, where a product is cut into several.
    first_group: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// Four values of a pixel; a negative one is outside.
fn pixel_quad(pixel: i32, channel: u32) -> vec4<f32> {
    let inside = (pixel >= 0) & (channel < sizes.channels);
    let at = select(0u, u32(pixel) * sizes.channels + channel, inside);
    return select(vec4<f32>(), map_at(at, select(1u, sizes.channels - channel, inside)), inside);
}

// The same of four pixels.
fn pixel_block(pixels: vec4<i32>, channel: u32) -> mat4x4<f32> {
    return mat4x4(
        pixel_quad(pixels.x, channel),
        pixel_quad(pixels.y, channel),
        pixel_quad(pixels.z, channel),
        pixel_quad(pixels.w, channel),
    );
}
