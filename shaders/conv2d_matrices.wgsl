// What conv2d.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// map is the picture [B, height, width, channels], weight [columns, taps, channels], residual and result [B, out_height, out_width,
// columns].

//#import shared/matrices
//#import shared/matrices_plain
//#import shared/matrices_finish
//#import shared/conv2d

// Where the windows of the rows begin that this invocation fills.
var<private> windows: array<vec3<i32>, {{ left_loads }}>;
var<private> corner: vec2<u32>;

// A step of the inner axis: a tap of the window and the first of DEPTH channels.
struct Step {
    tap: u32,
    channel: u32,
    inside: bool,
}

fn strips_of_a_tap() -> u32 {
    return (sizes.channels + DEPTH - 1u) / DEPTH;
}

fn strips() -> u32 {
    return sizes.window_height * sizes.window_width * strips_of_a_tap();
}

fn step(strip: u32) -> Step {
    return Step(strip / strips_of_a_tap(), strip % strips_of_a_tap() * DEPTH, strip < strips());
}

// Where a row's window begins, and the first row of its picture.
fn window(row: u32) -> vec3<i32> {
    let place = row % (sizes.out_height * sizes.out_width);
    let corner = vec2<i32>(vec2(place / sizes.out_width, place % sizes.out_width) * sizes.stride);
    let picture = row / (sizes.out_height * sizes.out_width);
    return vec3(corner - vec2<i32>(vec2(sizes.top, sizes.left)), i32(picture * sizes.height));
}

fn left_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    let step = step(strip);
    let window = windows[load];
    let y = window.x + i32(step.tap / sizes.window_width);
    let x = window.y + i32(step.tap % sizes.window_width);
    let is_row = corner.x + row_of(lane, load) < row_count();
    let inside = (y >= 0) & (y < i32(sizes.height)) & (x >= 0) & (x < i32(sizes.width)) & is_row & step.inside;
    return pixel_quad(select(-1, (window.z + y) * i32(sizes.width) + x, inside), step.channel + 4u * (lane % DEPTH_QUADS));
}

fn right_values(lane: u32, load: u32, strip: u32) -> vec4<f32> {
    let step = step(strip);
    let pitch = sizes.window_height * sizes.window_width * sizes.channels;
    let channel = select(sizes.channels, step.channel + 4u * (lane % DEPTH_QUADS), step.inside);
    return weight_quad(corner.y + row_of(lane, load), step.tap * sizes.channels, channel, pitch);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    corner = vec2((group.y + sizes.first_group) * TILE_ROWS, group.x * TILE_COLUMNS);
    windows[{{ left_load }}] = window(corner.x + row_of(lane, {{ left_load }}u));
    make_tile(lane, subgroup, subgroups, corner.x, corner.y);
}
