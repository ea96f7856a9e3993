// What the kernels of a convolution's gradient share: the weight, four values at a time, and the result, on top of the gradients
// that were collected before. Beyond the last output channel or the last column there are zeros.

//#import shared/conv2d_sizes

// The first row and column of this workgroup's class, and how many it has of each.
var<private> origin: vec2<u32>;
var<private> extent: vec2<u32>;

// Four columns of what an output channel does with a tap.
fn weight_quad(channel: u32, tap: u32, column: u32, taps: u32) -> vec4<f32> {
    let inside = (channel < sizes.channels) & (column < sizes.columns);
    let at = select(0u, (channel * taps + tap) * sizes.columns + column, inside);
    return select(vec4<f32>(), weight_at(at, select(1u, sizes.columns - column, inside)), inside);
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    let area = extent.x * extent.y;
    if (row < sizes.batch * area && column < sizes.columns) {
        let y = origin.y + sizes.stride * (row % area / extent.x);
        let x = origin.x + sizes.stride * (row % extent.x);
        let pixel = (row / area * sizes.height + y) * sizes.width + x;
        let at = pixel * sizes.columns + column;
        let left = sizes.columns - column;
        result_set(at, left, values + collected_at(at, left));
    }
}
