// What conv2d_backward.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// map is the gradient [B, out_height, out_width, channels], weight [channels, taps, columns], collected and result
// [B, height, width, columns].
//
// One workgroup makes one tile of one class of pixels, as there.

//#import shared/matrices
//#import shared/matrices_plain
//#import shared/matrices_finish
//#import shared/conv2d_backward

// The pixels of the rows that this invocation fills.
var<private> pixels: array<vec3<i32>, {{ left_loads }}>;
var<private> corner: vec2<u32>;

// A step of the inner axis: a tap of the window that saw the class, and the first of DEPTH channels.
struct Step {
    tap: vec2<u32>,
    channel: u32,
    inside: bool,
}

fn first_tap() -> vec2<u32> {
    return (origin + vec2(sizes.left, sizes.top)) % sizes.stride;
}

// How many taps saw the class.
fn taps() -> vec2<u32> {
    return (vec2(sizes.window_width, sizes.window_height) + sizes.stride - 1u - first_tap()) / sizes.stride;
}

fn strips_of_a_tap() -> u32 {
    return (sizes.channels + DEPTH - 1u) / DEPTH;
}

fn strips() -> u32 {
    return taps().x * taps().y * strips_of_a_tap();
}

fn step(strip: u32) -> Step {
    let tap = strip / strips_of_a_tap();
    // Where no tap saw the class, nothing is divided by none.
    let across = max(taps().x, 1u);
    let place = first_tap() + vec2(tap % across, tap / across) * sizes.stride;
    return Step(place, strip % strips_of_a_tap() * DEPTH, strip < strips());
}

// A row's pixel, counted from the corner of the padding, and the first row of its picture.
fn pixel(row: u32) -> vec3<i32> {
    let area = extent.x * extent.y;
    let place = vec2(row % extent.x, row % area / extent.x) * sizes.stride + origin + vec2(sizes.left, sizes.top);
    return vec3<i32>(vec3(place, row / area * sizes.out_height));
}

fn left_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    let step = step(strip);
    let pixel = pixels[load];
    // Exact divisions: the tap has the remainder of the class. Negative ones are never used.
    let place = pixel.xy - vec2<i32>(step.tap);
    let end = vec2<i32>(vec2(sizes.out_width, sizes.out_height) * sizes.stride);
    let is_row = corner.x + row_of(lane, load) < sizes.batch * extent.x * extent.y;
    let inside = all(place >= vec2(0)) & all(place < end) & is_row & step.inside;
    let window = place / i32(sizes.stride);
    let at = (pixel.z + window.y) * i32(sizes.out_width) + window.x;
    return pixel_quad(select(-1, at, inside), step.channel + 4u * (lane % DEPTH_QUADS));
}

fn right_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    let step = step(strip);
    let channel = select(sizes.channels, step.channel + step_of(lane, load), step.inside);
    let tap = step.tap.y * sizes.window_width + step.tap.x;
    let column = corner.y + 4u * quad_of(lane, load);
    return weight_quad(channel, tap, column, sizes.window_width * sizes.window_height);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    corner = vec2((group.y + sizes.first_group) * TILE_ROWS, group.x * TILE_COLUMNS);
    // A small picture may have no pixel of the last classes: such a workgroup has no rows.
    origin = vec2(group.z % sizes.stride, group.z / sizes.stride);
    extent = (vec2(sizes.width, sizes.height) + sizes.stride - 1u - origin) / sizes.stride;
    if (corner.x >= sizes.batch * extent.x * extent.y) {
        return;
    }
    pixels[{{ left_load }}] = pixel(corner.x + row_of(lane, {{ left_load }}u));
    make_tile(lane, subgroup, subgroups, corner.x, corner.y);
}
