// What the products share: a tile of the result L R, made from strips of both factors in workgroup memory.
//
// A workgroup of DOWN x ACROSS invocations makes TILE_ROWS x TILE_COLUMNS values, each invocation 4 ROW_QUADS x 4
// COLUMN_QUADS of them, in registers. The inner axis is walked DEPTH at a time: the strips are filled, four by four values
// at once and each invocation at most one such block of the left strip, then multiplied. Strips lie with the inner axis
// outside, so that an invocation reads its rows and its columns as vectors. A strip has one quad more than it needs in each
// step of the inner axis: without it, the steps of one block would lie in the same memory bank.
//
// LANES is DOWN x ACROSS. What a strip holds (`Strip`), and what is done with values before they are kept (`begin`,
// `fitted`) and after they were summed (`way_back`), is up to `shared/strip_f32.wgsl` or `shared/strip_f16.wgsl`,
// one of which comes before this. A kernel made of this ends with `finish`, which writes the tile: `shared/tile_finish.wgsl`.

const DOWN: u32 = {{ down }}u;
const ACROSS: u32 = {{ across }}u;
const ROW_QUADS: u32 = {{ row_quads }}u;
const COLUMN_QUADS: u32 = {{ column_quads }}u;
const DEPTH: u32 = {{ depth }}u;

const LANES: u32 = {{ lanes }}u;
const TILE_ROWS: u32 = 4u * ROW_QUADS * DOWN;
const TILE_COLUMNS: u32 = 4u * COLUMN_QUADS * ACROSS;
const DEPTH_QUADS: u32 = DEPTH / 4u;
const LEFT_BLOCKS: u32 = TILE_ROWS / 4u * DEPTH_QUADS;
const LEFT_PITCH: u32 = TILE_ROWS / 4u + 1u;
const RIGHT_PITCH: u32 = TILE_COLUMNS / 4u + 1u;

var<workgroup> left_strip: array<Strip, DEPTH * LEFT_PITCH>;
var<workgroup> right_strip: array<Strip, DEPTH * RIGHT_PITCH>;

// The values of this invocation: sums[row], for the first and second quad of rows and of columns.
var<private> sums00: mat4x4<f32>;
var<private> sums01: mat4x4<f32>;
var<private> sums10: mat4x4<f32>;
var<private> sums11: mat4x4<f32>;

// Whether this invocation fills a block of the left strip. Most tiles have one for each.
fn fills_left(lane: u32) -> bool {
    return LEFT_BLOCKS == LANES || lane < LEFT_BLOCKS;
}

// Keeps four rows of four values each, along the inner axis, in the left strip, where this invocation fills one of its blocks. The
// strips before were multiplied by then, so the right one may be filled after this.
fn keep_left(lane: u32, depth_quad: u32, row_quad: u32, rows: mat4x4<f32>) {
    let steps = transpose(fitted(rows));
    if (fills_left(lane)) {
        let at = 4u * depth_quad * LEFT_PITCH + row_quad;
        left_strip[at] = Strip(steps[0]);
        left_strip[at + LEFT_PITCH] = Strip(steps[1]);
        left_strip[at + 2u * LEFT_PITCH] = Strip(steps[2]);
        left_strip[at + 3u * LEFT_PITCH] = Strip(steps[3]);
    }
}

// Keeps four columns of four values each, along the inner axis, in the right strip.
fn keep_right(depth_quad: u32, column_quad: u32, columns: mat4x4<f32>) {
    let steps = transpose(columns);
    let at = 4u * depth_quad * RIGHT_PITCH + column_quad;
    right_strip[at] = Strip(steps[0]);
    right_strip[at + RIGHT_PITCH] = Strip(steps[1]);
    right_strip[at + 2u * RIGHT_PITCH] = Strip(steps[2]);
    right_strip[at + 3u * RIGHT_PITCH] = Strip(steps[3]);
}

fn multiply_sums(factor: f32) {
    sums00 *= factor;
    sums01 *= factor;
    sums10 *= factor;
    sums11 *= factor;
}

fn outer(rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(rows.x * columns, rows.y * columns, rows.z * columns, rows.w * columns);
}

fn multiply_step(left_at: u32, right_at: u32) {
    let rows = vec4<f32>(left_strip[left_at]);
    let columns = vec4<f32>(right_strip[right_at]);
    sums00 += outer(rows, columns);
    if (COLUMN_QUADS == 2u) {
        sums01 += outer(rows, vec4<f32>(right_strip[right_at + ACROSS]));
    }
    if (ROW_QUADS == 2u) {
        let more_rows = vec4<f32>(left_strip[left_at + DOWN]);
        sums10 += outer(more_rows, columns);
        if (COLUMN_QUADS == 2u) {
            sums11 += outer(more_rows, vec4<f32>(right_strip[right_at + ACROSS]));
        }
    }
}

// Adds the product of the strips to this invocation's values.
fn multiply(lane: u32) {
    var left_at = lane / ACROSS;
    var right_at = lane % ACROSS;
    for (var step = 0u; step < DEPTH; step += 4u) {
        multiply_step(left_at, right_at);
        multiply_step(left_at + LEFT_PITCH, right_at + RIGHT_PITCH);
        multiply_step(left_at + 2u * LEFT_PITCH, right_at + 2u * RIGHT_PITCH);
        multiply_step(left_at + 3u * LEFT_PITCH, right_at + 3u * RIGHT_PITCH);
        left_at += 4u * LEFT_PITCH;
        right_at += 4u * RIGHT_PITCH;
    }
}
