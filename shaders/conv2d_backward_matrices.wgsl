// What conv2d_backward.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// map is the gradient [B, out_height, out_width, channels], weight [channels, taps, columns], result [B, height, width, columns].
//
// One workgroup makes one tile of one class of pixels, as there.

//#import shared/matrices
//#import shared/conv2d_backward

// A step of the inner axis: a tap of the window that saw the class, and the first of DEPTH channels.
struct Step {
    tap: vec2<u32>,
    channel: u32,
    inside: bool,
}

fn step(number: u32) -> Step {
    let window = vec2(sizes.window_width, sizes.window_height);
    let first = (origin + vec2(sizes.left, sizes.top)) % sizes.stride;
    let taps = (window + sizes.stride - 1u - first) / sizes.stride;
    let strips = (sizes.channels + DEPTH - 1u) / DEPTH;
    let tap = number / strips;
    // Where no tap saw the class, nothing is divided by none.
    let place = vec2(tap % max(taps.x, 1u), tap / max(taps.x, 1u));
    return Step(first + place * sizes.stride, number % strips * DEPTH, tap < taps.x * taps.y);
}

// A row's pixel, counted from the corner of the padding, and the first row of its picture.
fn pixel(row: u32) -> vec3<i32> {
    let area = extent.x * extent.y;
    let place = vec2(row % extent.x, row % area / extent.x) * sizes.stride + origin + vec2(sizes.left, sizes.top);
    return vec3<i32>(vec3(place, row / area * sizes.out_height));
}

fn map_quad(row: u32, pixel: vec3<i32>, step: Step, depth_quad: u32) -> vec4<f32> {
    // Exact divisions: the tap has the remainder of the class. Negative ones are never used.
    let place = pixel.xy - vec2<i32>(step.tap);
    let end = vec2<i32>(vec2(sizes.out_width, sizes.out_height) * sizes.stride);
    let is_row = row < sizes.batch * extent.x * extent.y;
    let inside = all(place >= vec2(0)) & all(place < end) & is_row & step.inside;
    let window = place / i32(sizes.stride);
    let at = (pixel.z + window.y) * i32(sizes.out_width) + window.x;
    return pixel_quad(select(-1, at, inside), step.channel + 4u * depth_quad);
}

fn right_quad(lane: u32, load: u32, first_column: u32, step: Step) -> vec4<f32> {
    let channel = select(sizes.channels, step.channel + step_of(lane, load), step.inside);
    let tap = step.tap.y * sizes.window_width + step.tap.x;
    let column = first_column + 4u * quad_of(lane, load);
    return weight_quad(channel, tap, column, sizes.window_width * sizes.window_height);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    // A small picture may have no pixel of the last classes: such a workgroup has no rows.
    let first_pixel = vec2(group.z % sizes.stride, group.z / sizes.stride);
    let size = (vec2(sizes.width, sizes.height) + sizes.stride - 1u - first_pixel) / sizes.stride;
    if (first_row >= sizes.batch * size.x * size.y) {
        return;
    }
    origin = first_pixel;
    extent = size;

    let scale = scales();
    let depth_quad = lane % DEPTH_QUADS;
    let row{{ left_load }} = first_row + row_of(lane, {{ left_load }}u);
    let pixel{{ left_load }} = pixel(row{{ left_load }});
    for (var first_share = 0u; first_share < SHARES; first_share += subgroups) {
        clear();
        let first = step(0u);
        var left{{ left_load }} = map_quad(row{{ left_load }}, pixel{{ left_load }}, first, depth_quad);
        var right{{ right_load }} = right_quad(lane, {{ right_load }}u, first_column, first);
        for (var number = 0u; step(number).inside; number += 1u) {
            workgroupBarrier();
            keep_left(lane, {{ left_load }}u, scale.x * left{{ left_load }});
            keep_right(lane, {{ right_load }}u, right{{ right_load }});
            workgroupBarrier();
            let next = step(number + 1u);
            left{{ left_load }} = map_quad(row{{ left_load }}, pixel{{ left_load }}, next, depth_quad);
            right{{ right_load }} = right_quad(lane, {{ right_load }}u, first_column, next);
            multiply(first_share + subgroup);
        }
        finish(Exit(lane, first_share + subgroup, first_share, subgroups, first_row, first_column, scale.y));
    }
}
