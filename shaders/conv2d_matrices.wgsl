// What conv2d.wgsl computes, with cooperative matrices: shared/matrices.wgsl.
//
// map is the picture [B, height, width, channels], weight [columns, taps, channels], residual and result [B, out_height, out_width,
// columns].

//#import shared/matrices
//#import shared/conv2d

// A step of the inner axis: a tap of the window and the first of DEPTH channels.
struct Step {
    tap: u32,
    channel: u32,
    inside: bool,
}

fn step(number: u32) -> Step {
    let strips = (sizes.channels + DEPTH - 1u) / DEPTH;
    let tap = number / strips;
    return Step(tap, number % strips * DEPTH, tap < sizes.window_height * sizes.window_width);
}

// Where a row's window begins, and the first row of its picture.
fn window(row: u32) -> vec3<i32> {
    let place = row % (sizes.out_height * sizes.out_width);
    let corner = vec2<i32>(vec2(place / sizes.out_width, place % sizes.out_width) * sizes.stride);
    let picture = row / (sizes.out_height * sizes.out_width);
    return vec3(corner - vec2<i32>(vec2(sizes.top, sizes.left)), i32(picture * sizes.height));
}

fn map_quad(row: u32, window: vec3<i32>, step: Step, depth_quad: u32) -> vec4<f32> {
    let y = window.x + i32(step.tap / sizes.window_width);
    let x = window.y + i32(step.tap % sizes.window_width);
    let inside = (y >= 0) & (y < i32(sizes.height)) & (x >= 0) & (x < i32(sizes.width)) & (row < row_count()) & step.inside;
    return pixel_quad(select(-1, (window.z + y) * i32(sizes.width) + x, inside), step.channel + 4u * depth_quad);
}

fn right_quad(column: u32, step: Step, depth_quad: u32) -> vec4<f32> {
    let pitch = sizes.window_height * sizes.window_width * sizes.channels;
    let channel = select(sizes.channels, step.channel + 4u * depth_quad, step.inside);
    return weight_quad(column, step.tap * sizes.channels, channel, pitch);
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
    let scale = scales();
    let depth_quad = lane % DEPTH_QUADS;
    let row{{ left_load }} = first_row + row_of(lane, {{ left_load }}u);
    let window{{ left_load }} = window(row{{ left_load }});
    let column{{ right_load }} = first_column + row_of(lane, {{ right_load }}u);
    for (var first_share = 0u; first_share < SHARES; first_share += subgroups) {
        clear();
        let first = step(0u);
        var left{{ left_load }} = map_quad(row{{ left_load }}, window{{ left_load }}, first, depth_quad);
        var right{{ right_load }} = right_quad(column{{ right_load }}, first, depth_quad);
        for (var number = 0u; step(number).inside; number += 1u) {
            workgroupBarrier();
            keep_left(lane, {{ left_load }}u, scale.x * left{{ left_load }});
            keep_right(lane, {{ right_load }}u, right{{ right_load }});
            workgroupBarrier();
            let next = step(number + 1u);
            left{{ left_load }} = map_quad(row{{ left_load }}, window{{ left_load }}, next, depth_quad);
            right{{ right_load }} = right_quad(column{{ right_load }}, next, depth_quad);
            multiply(first_share + subgroup);
        }
        finish(Exit(lane, first_share + subgroup, first_share, subgroups, first_row, first_column, scale.y));
    }
}
