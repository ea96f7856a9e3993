// What the products share on GPUs with cooperative matrices: a tile of the result L R, made from strips of both factors in
// workgroup memory, in f16 with sums in f32.
//
// A tile is DOWN x ACROSS shares, and a share ROWS x COLUMNS matrices of SHAPE x SHAPE values; a subgroup makes one share at a
// time. How many subgroups a workgroup has is the device's affair: where there are fewer than shares, the inner axis is walked
// again for the others; where there are more, some make the last share, too, and nothing comes of it.
//
// The inner axis is walked DEPTH at a time. While a strip is multiplied, the values of the next one are under way: each
// invocation reads four of a factor at once, as often as its part of the strip needs. A strip has eight values more than it
// needs in each row: without them, the rows of a matrix would lie in the same memory banks.
//
// A line with the number of a row, a column or a load of the left or right factor in it stands once for each. A kernel made of
// this has functions that say how many strips there are (`strips()`), what an invocation fetches of one (`left_values(lane, load,
// strip)`, `right_values(..)`; zeros beyond the last), and what becomes of four columns of a row (`leave_quad`): most often
// those of `shared/matrices_finish.wgsl`. `begin_left` and `end_left` stand before and after the strips, and PARTIALS are the
// values that the latter leaves in workgroup memory; `shared/matrices_plain.wgsl` is where nothing is to be done.

enable f16;
enable wgpu_cooperative_matrix;
// Whether a subgroup has a share differs from subgroup to subgroup, never within one: that is uniform enough for matrices, but
// more than naga can see.
diagnostic(off, derivative_uniformity);

//#import shared/scale

const SHAPE: u32 = {{ shape }}u;
const DOWN: u32 = {{ down }}u;
const ACROSS: u32 = {{ across }}u;
const ROWS: u32 = {{ rows }}u;
const COLUMNS: u32 = {{ columns }}u;
const DEPTH: u32 = {{ depth }}u;
// Whether the right strip lies in columns along the inner axis, else in rows across it.
const RIGHT_BY_COLUMNS: u32 = {{ by_columns }}u;

const LANES: u32 = {{ lanes }}u;
const SHARES: u32 = DOWN * ACROSS;
const TILE_ROWS: u32 = SHAPE * ROWS * DOWN;
const TILE_COLUMNS: u32 = SHAPE * COLUMNS * ACROSS;
const DEPTH_QUADS: u32 = DEPTH / 4u;
const COLUMN_QUADS: u32 = TILE_COLUMNS / 4u;
const LEFT_PITCH: u32 = DEPTH + 8u;
const RIGHT_PITCH: u32 = select(TILE_COLUMNS, DEPTH, RIGHT_BY_COLUMNS == 1u) + 8u;
const RIGHT_ROWS: u32 = select(DEPTH, TILE_COLUMNS, RIGHT_BY_COLUMNS == 1u);

var<workgroup> left_strip: array<f16, TILE_ROWS * LEFT_PITCH>;
var<workgroup> right_strip: array<f16, RIGHT_ROWS * RIGHT_PITCH>;
// One matrix of each share, on its way out; before that, what invocations have to tell each other of the left factor.
var<workgroup> leaving: array<f32, max(SHARES * SHAPE * SHAPE, PARTIALS)>;

// By what the left factor is multiplied.
var<private> scale: f32 = 1.0;

// The values of this subgroup's share.
var<private> sum{{ row }}_{{ column }}: coop_mat{{ shape }}x{{ shape }}<f32, C>;

fn clear() {
    sum{{ row }}_{{ column }} = coop_mat{{ shape }}x{{ shape }}<f32, C>();
}

// The row of the left strip, or the column of the tile, that an invocation fills with its load of this number.
fn row_of(lane: u32, load: u32) -> u32 {
    return (lane + load * LANES) / DEPTH_QUADS;
}

// The step of the inner axis, where the right strip lies in rows across it, and the four columns.
fn step_of(lane: u32, load: u32) -> u32 {
    return (lane + load * LANES) / COLUMN_QUADS;
}

fn quad_of(lane: u32, load: u32) -> u32 {
    return (lane + load * LANES) % COLUMN_QUADS;
}

fn keep_left(lane: u32, load: u32, values: vec4<f32>) {
    let halves = vec4<f16>(values);
    let at = row_of(lane, load) * LEFT_PITCH + 4u * (lane % DEPTH_QUADS);
    left_strip[at] = halves.x;
    left_strip[at + 1u] = halves.y;
    left_strip[at + 2u] = halves.z;
    left_strip[at + 3u] = halves.w;
}

fn keep_right(lane: u32, load: u32, values: vec4<f32>) {
    let halves = vec4<f16>(values);
    var at = step_of(lane, load) * RIGHT_PITCH + 4u * quad_of(lane, load);
    if (RIGHT_BY_COLUMNS == 1u) {
        at = row_of(lane, load) * RIGHT_PITCH + 4u * (lane % DEPTH_QUADS);
    }
    right_strip[at] = halves.x;
    right_strip[at + 1u] = halves.y;
    right_strip[at + 2u] = halves.z;
    right_strip[at + 3u] = halves.w;
}

fn left_matrix(row: u32, k: u32) -> coop_mat{{ shape }}x{{ shape }}<f16, A> {
    return coopLoadT<coop_mat{{ shape }}x{{ shape }}<f16, A>>(&left_strip[row * LEFT_PITCH + k], LEFT_PITCH);
}

fn right_matrix(k: u32, column: u32) -> coop_mat{{ shape }}x{{ shape }}<f16, B> {
    if (RIGHT_BY_COLUMNS == 1u) {
        return coopLoad<coop_mat{{ shape }}x{{ shape }}<f16, B>>(&right_strip[column * RIGHT_PITCH + k], RIGHT_PITCH);
    }
    return coopLoadT<coop_mat{{ shape }}x{{ shape }}<f16, B>>(&right_strip[k * RIGHT_PITCH + column], RIGHT_PITCH);
}

// Adds the product of the strips to a share's values. Without a branch, so that readings can be under way meanwhile.
fn multiply(subgroup: u32) {
    let share = min(subgroup, SHARES - 1u);
    let row = share / ACROSS * ROWS * SHAPE;
    let column = share % ACROSS * COLUMNS * SHAPE;
    for (var k = 0u; k < DEPTH; k += SHAPE) {
        let left{{ row }} = left_matrix(row + {{ row }}u * SHAPE, k);
        let right{{ column }} = right_matrix(k, column + {{ column }}u * SHAPE);
        sum{{ row }}_{{ column }} = coopMultiplyAdd(left{{ row }}, right{{ column }}, sum{{ row }}_{{ column }});
    }
}

// Makes the left factor's scale what it must be for the next strip.
fn fit() {
    let now = scale_of(0u);
    if (now != scale) {
        let change = now * inverse(scale);
        sum{{ row }}_{{ column }} = sum{{ row }}_{{ column }} * change;
        scale = now;
    }
}

// Makes a tile.
fn make_tile(lane: u32, subgroup: u32, subgroups: u32, first_row: u32, first_column: u32) {
    forget_peaks(lane);
    for (var first_share = 0u; first_share < SHARES; first_share += subgroups) {
        clear();
        begin_left(lane);
        var left{{ left_load }} = left_values(lane, {{ left_load }}u, 0u);
        var right{{ right_load }} = right_values(lane, {{ right_load }}u, 0u);
        for (var strip = 0u; strip < strips(); strip += 1u) {
            var most = 0.0;
            most = max(most, largest(left{{ left_load }}));
            meet(0u, most);
            workgroupBarrier();
            fit();
            keep_left(lane, {{ left_load }}u, scale * left{{ left_load }});
            keep_right(lane, {{ right_load }}u, right{{ right_load }});
            workgroupBarrier();
            left{{ left_load }} = left_values(lane, {{ left_load }}u, strip + 1u);
            right{{ right_load }} = right_values(lane, {{ right_load }}u, strip + 1u);
            multiply(first_share + subgroup);
        }
        end_left(lane);
        finish(Exit(lane, first_share + subgroup, first_share, subgroups, first_row, first_column));
    }
}

// Where a tile's result goes.
struct Exit {
    lane: u32,
    share: u32,
    // The shares that are made at the same time.
    first_share: u32,
    shares: u32,
    first_row: u32,
    first_column: u32,
}

// Writes one matrix of each share, the one in this row and column of it.
fn leave(matrix: coop_mat{{ shape }}x{{ shape }}<f32, C>, exit: Exit, row: u32, column: u32) {
    workgroupBarrier();
    if (exit.share < SHARES) {
        coopStoreT(matrix, &leaving[exit.share * SHAPE * SHAPE], SHAPE);
    }
    workgroupBarrier();
    let first = exit.first_share * SHAPE * SHAPE / 4u + exit.lane;
    let end = min(exit.first_share + exit.shares, SHARES) * SHAPE * SHAPE / 4u;
    for (var i = first; i < end; i += LANES) {
        let share = i / (SHAPE * SHAPE / 4u);
        let values = vec4(leaving[4u * i], leaving[4u * i + 1u], leaving[4u * i + 2u], leaving[4u * i + 3u]);
        let in_share = vec2(row * SHAPE + i / (SHAPE / 4u) % SHAPE, column * SHAPE + 4u * (i % (SHAPE / 4u)));
        let corner = vec2(share / ACROSS * ROWS * SHAPE, share % ACROSS * COLUMNS * SHAPE);
        leave_quad(vec2(exit.first_row, exit.first_column), corner + in_share, inverse(scale) * values, i > first);
    }
}

fn finish(exit: Exit) {
    leave(sum{{ row }}_{{ column }}, exit, {{ row }}u, {{ column }}u);
}
