// What the attention kernels for GPUs share, however they multiply: with sums in registers (shared/attention_tile.wgsl) or with
// cooperative matrices (shared/attention_matrices.wgsl), one of which comes before a kernel.
//
// A workgroup has 64 rows of one head of one sample: queries or, for their gradients, keys. It walks those that they are
// matched with, the columns, 64 at a time:
//
// 1. `multiply` makes the scores of all pairs, the products of rows of two operands. Each invocation has those of four rows and
//    four columns in registers, or twice four: `sums0`, `sums1`.
// 2. The kernel makes weights of them, there.
// 3. `add_weighted` adds rows of an operand, weighted, to a result that is spread over the invocations: a `Total`.
//
// Rows and columns beyond the last repeat the last: no result is written for such a row, and such a column
// counts for nothing.
//
// What multiplies defines these, `Total` with `clear_total`, `shrink_total` and `write_total`, and
//
// * `main`, which calls `attend` once, or once for each turn in which rows are done; `is_made(row)` says whether a row is done in
//   this one: nothing may come of what invocations compute for others;
// * `exchange` and `exchanged`, by which invocations that have the same rows see each other's numbers;
// * PATIENCE: by how many powers of two a score may be beyond the largest before it until totals are made smaller.
//
// A kernel made of this has a function `attend(group, lane)`, which does the rows of a workgroup, and one `emit(which, at,
// values)`, which writes four values of a result. `which` is a constant wherever they are called.

//#import shared/attention_sizes

const LANES: u32 = {{ lanes }}u;
const DOWN: u32 = 16u;
const ACROSS: u32 = LANES / DOWN;
const COLUMN_QUADS: u32 = 16u / ACROSS;
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;
// Values of a head that are in the workgroup's memory at a time, for scores; columns, for what is weighted.
const DEPTH: u32 = {{ depth }}u;
const CHUNK: u32 = {{ chunk }}u;

// The operands, and the weights that scores become.
const Q: u32 = 0u;
const K: u32 = 1u;
const V: u32 = 2u;
const DY: u32 = 3u;
const P: u32 = 4u;
const DS: u32 = 5u;

// Probabilities are powers of two in here: that is what GPUs compute.
const LOG2_E: f32 = 1.4426950408889634;

// The scores of this invocation: sums[column] for its four rows. The second four columns are COLUMNS / 2 after the first.
var<private> sums0: mat4x4<f32>;
var<private> sums1: mat4x4<f32>;

fn operand(which: u32, at: u32) -> vec4<f32> {
    if (which == Q) {
        return q_at(at, 4u);
    }
    if (which == K) {
        return k_at(at, 4u);
    }
    if (which == V) {
        return v_at(at, 4u);
    }
    return dy_at(at, 4u);
}

// Where a head begins, in the first of `count` positions of a sample.
fn head_place(count: u32, sample: u32, head: u32) -> u32 {
    return (sample * count * sizes.heads + head) * sizes.width;
}

// Where four neighbouring positions lie, counted from the first of `count`.
fn four_places(position: u32, count: u32) -> vec4<u32> {
    return min(vec4(position) + vec4(0u, 1u, 2u, 3u), vec4(count - 1u)) * sizes.heads * sizes.width;
}

// Of an invocation: the first of the four rows of the left strip, or of the four columns of the right one, that it fills.
fn filled_quad(lane: u32) -> u32 {
    return 4u * (lane / (DEPTH / 4u) % (ROWS / 4u));
}

fn fills_left(lane: u32) -> bool {
    return lane < ROWS / 4u * (DEPTH / 4u);
}

fn four_rows(which: u32, at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4(operand(which, at.x), operand(which, at.y), operand(which, at.z), operand(which, at.w));
}

// The weights with `otherwise` where a row does not see a column. `column` is the first of this invocation's.
fn masked(weights: mat4x4<f32>, otherwise: f32, rows: vec4<u32>, column: u32) -> mat4x4<f32> {
    return mat4x4(
        select(vec4(otherwise), weights[0], is_seen(rows, column)),
        select(vec4(otherwise), weights[1], is_seen(rows, column + 1u)),
        select(vec4(otherwise), weights[2], is_seen(rows, column + 2u)),
        select(vec4(otherwise), weights[3], is_seen(rows, column + 3u)),
    );
}

fn scaled_rows(block: mat4x4<f32>, factors: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(factors.x * block[0], factors.y * block[1], factors.z * block[2], factors.w * block[3]);
}

fn write_block(which: u32, place: u32, row: u32, count: u32, column: u32, block: mat4x4<f32>) {
    if (column < sizes.width) {
        write_row(which, place + column, row, count, block[0]);
        write_row(which, place + column, row + 1u, count, block[1]);
        write_row(which, place + column, row + 2u, count, block[2]);
        write_row(which, place + column, row + 3u, count, block[3]);
    }
}

fn write_row(which: u32, place: u32, row: u32, count: u32, values: vec4<f32>) {
    if (row < count) {
        emit(which, place + row * sizes.heads * sizes.width, values);
    }
}
