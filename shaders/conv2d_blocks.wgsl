// What conv2d.wgsl computes, for software GPUs: shared/block.wgsl.
//
// map is the picture [B, height, width, channels], weight [columns, taps, channels], residual and result [B, out_height, out_width,
// columns].

//#import shared/block
//#import shared/conv2d

// Where the window of an output pixel begins: column and row, and the first row of its picture.
fn window(row: u32) -> vec3<i32> {
    let area = sizes.out_height * sizes.out_width;
    let x = row % sizes.out_width * sizes.stride;
    let y = row % area / sizes.out_width * sizes.stride;
    return vec3(i32(x) - i32(sizes.left), i32(y) - i32(sizes.top), i32(row / area * sizes.height));
}

// The pixel that a tap sees; negative outside of the picture.
fn seen(window: vec3<i32>, tap: vec2<u32>) -> i32 {
    let x = window.x + i32(tap.x);
    let y = window.y + i32(tap.y);
    let inside = x >= 0 && x < i32(sizes.width) && y >= 0 && y < i32(sizes.height);
    return select(-1, (window.z + y) * i32(sizes.width) + x, inside);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = corner((group.x + sizes.first_group) * LANES + lane, sizes.columns);
    if (first.y >= row_count()) {
        return;
    }
    // Rows beyond the last are computed as the last, and left out.
    let window{{ row }} = window(min(first.y + {{ row }}u, row_count() - 1u));
    let taps = sizes.window_height * sizes.window_width;
    let pitch = taps * sizes.channels;
    var sum{{ row }}_{{ quad }} = vec4<f32>();
    for (var tap = 0u; tap < taps; tap += 1u) {
        let place = vec2(tap % sizes.window_width, tap / sizes.window_width);
        let pixel{{ row }} = seen(window{{ row }}, place);
        let start = tap * sizes.channels;
        for (var channel = 0u; channel < sizes.channels; channel += 4u) {
            // Four channels, each with what it does to four output channels.
            let weight{{ quad }} = transpose(weight_block(first.x + 4u * {{ quad }}u, start, channel, pitch));
            let left{{ row }} = pixel_quad(pixel{{ row }}, channel);
            sum{{ row }}_{{ quad }} += weight{{ quad }} * left{{ row }};
        }
    }
    emit(first.y + {{ row }}u, first.x + 4u * {{ quad }}u, sum{{ row }}_{{ quad }});
}
