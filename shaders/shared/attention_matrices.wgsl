// Attention's products with cooperative matrices, in f16 with sums in f32: shared/attention_rows.wgsl says what of.
//
// The workgroup's 64 rows and, of scores, its 64 columns are shared among SHARES_DOWN x SHARES_ACROSS shares, each of which a
// subgroup makes: so many rows of SHAPE x SHAPE matrices, and of the columns of matrices every SHARES_ACROSS-th. How many
// subgroups a workgroup has is the device's affair: where there are fewer than shares, the rows are done in turns; where there
// are more, some make the last share, too, and nothing comes of it.
//
// Values of matrices cannot be used one by one. Scores come out, and totals that need it are made smaller, through the
// workgroup's memory, PORTION columns at a time. Totals need that hardly ever: probabilities may be up to 2^PATIENCE before.
//
// Operands and weights are scaled as in shared/scale.wgsl. Rows of a strip are eight values longer than they need to be, as in
// shared/matrices.wgsl.

enable f16;
enable wgpu_cooperative_matrix;
// As in shared/matrices.wgsl.
diagnostic(off, derivative_uniformity);

//#import shared/attention_rows
//#import shared/scale

const SHAPE: u32 = {{ shape }}u;
const SHARES_DOWN: u32 = {{ shares_down }}u;
const SHARES_ACROSS: u32 = {{ shares_across }}u;
const SHARE_ROWS: u32 = ROWS / SHARES_DOWN;
// Columns of a total: as many as the head has, or more.
const TOTAL_COLUMNS: u32 = {{ head }}u;

const PATIENCE: f32 = 8.0;
// Beside the weights in shared/scale.wgsl: which tile made scores grow beyond that.
const GROWTH: u32 = 6u;

const PITCH: u32 = DEPTH + 8u;
const CHUNK_PITCH: u32 = CHUNK + 8u;
const PORTION: u32 = 16u;

// Rows for scores, or weights.
var<workgroup> left_strip: array<f16, ROWS * max(PITCH, CHUNK_PITCH)>;
// Columns for scores, or columns of the head of what is weighted.
var<workgroup> right_strip: array<f16, max(COLUMNS * PITCH, TOTAL_COLUMNS * CHUNK_PITCH)>;
// Some columns of scores or of a total, or what invocations exchange.
var<workgroup> portion: array<f32, max(ROWS * PORTION, 4u * LANES)>;

// The share of this subgroup; those that are made are `shares` from the first on.
var<private> share: u32;
var<private> first_share: u32;
var<private> shares: u32;

// The scores of the share, and by what they are too large.
var<private> score{{ row }}_{{ column }}: coop_mat{{ shape }}x{{ shape }}<f32, C>;
var<private> unit: f32;

// The part of a result that a share has, and by what it is too large: nothing yet.
struct Total {
    unit: f32,
    part{{ row }}_{{ quad }}: coop_mat{{ shape }}x{{ shape }}<f32, C>,
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    shares = subgroups;
    for (first_share = 0u; first_share < SHARES_DOWN * SHARES_ACROSS; first_share += subgroups) {
        share = first_share + subgroup;
        forget_peaks(lane);
        attend(group, lane);
        workgroupBarrier();
    }
}

fn is_made(row: u32) -> bool {
    let its = row / SHARE_ROWS * SHARES_ACROSS;
    return its >= first_share && its < first_share + shares;
}

fn clear_total(total: ptr<private, Total>) {
    (*total).unit = 0.0;
    (*total).part{{ row }}_{{ quad }} = coop_mat{{ shape }}x{{ shape }}<f32, C>();
}

fn exchange(lane: u32, own: vec4<f32>) {
    let at = 4u * (lane % ACROSS * DOWN + lane / ACROSS);
    workgroupBarrier();
    keep_four_in_portion(at, own);
    workgroupBarrier();
}

fn keep_four_in_portion(at: u32, values: vec4<f32>) {
    portion[at] = values.x;
    portion[at + 1u] = values.y;
    portion[at + 2u] = values.z;
    portion[at + 3u] = values.w;
}

fn exchanged(lane: u32, number: u32) -> vec4<f32> {
    return four_of_portion(4u * (number * DOWN + lane / ACROSS));
}

fn four_of_portion(at: u32) -> vec4<f32> {
    return vec4(portion[at], portion[at + 1u], portion[at + 2u], portion[at + 3u]);
}

// The first row of the share, and the first column of its matrices of this number.
fn share_row() -> u32 {
    return min(share, SHARES_DOWN * SHARES_ACROSS - 1u) / SHARES_ACROSS * SHARE_ROWS;
}

fn share_column(number: u32) -> u32 {
    return (number * SHARES_ACROSS + share % SHARES_ACROSS) * SHAPE;
}

// The same of a total. The last share may have a matrix too many: it repeats the last one.
fn total_column(number: u32) -> u32 {
    return min(share_column(number), TOTAL_COLUMNS - SHAPE);
}

// Writes a matrix of this share, at this row and column, to the portion of this number, if it is of that.
fn leave(matrix: coop_mat{{ shape }}x{{ shape }}<f32, C>, row: u32, column: u32, number: u32) {
    if (column / PORTION == number && share < SHARES_DOWN * SHARES_ACROSS) {
        coopStoreT(matrix, &portion[row * PORTION + column % PORTION], PORTION);
    }
}

// The matrix of this share at this row and column, which is in the portion of this number if it is of that.
fn fetched(matrix: coop_mat{{ shape }}x{{ shape }}<f32, C>, row: u32, column: u32, number: u32) -> coop_mat{{ shape }}x{{ shape }}<f32, C> {
    if (column / PORTION != number) {
        return matrix;
    }
    return coopLoadT<coop_mat{{ shape }}x{{ shape }}<f32, C>>(&portion[row * PORTION + column % PORTION], PORTION);
}

// Four rows of four columns of the portion: those of this invocation, which has the fours of columns of this number.
fn block_of_portion(lane: u32, quad: u32) -> mat4x4<f32> {
    let at = 4u * (lane / ACROSS) * PORTION + 4u * quad;
    return mat4x4(
        four_of_portion(at),
        four_of_portion(at + PORTION),
        four_of_portion(at + 2u * PORTION),
        four_of_portion(at + 3u * PORTION),
    );
}

fn largest_of(block: mat4x4<f32>) -> f32 {
    return max(max(largest(block[0]), largest(block[1])), max(largest(block[2]), largest(block[3])));
}

fn keep_left(at: u32, values: vec4<f32>) {
    let halves = vec4<f16>(values);
    left_strip[at] = halves.x;
    left_strip[at + 1u] = halves.y;
    left_strip[at + 2u] = halves.z;
    left_strip[at + 3u] = halves.w;
}

fn keep_rows(at: u32, pitch: u32, rows: mat4x4<f32>) {
    keep_left(at, rows[0]);
    keep_left(at + pitch, rows[1]);
    keep_left(at + 2u * pitch, rows[2]);
    keep_left(at + 3u * pitch, rows[3]);
}

fn keep_right(at: u32, values: vec4<f32>) {
    let halves = vec4<f16>(values);
    right_strip[at] = halves.x;
    right_strip[at + 1u] = halves.y;
    right_strip[at + 2u] = halves.z;
    right_strip[at + 3u] = halves.w;
}

fn keep_columns(at: u32, pitch: u32, columns: mat4x4<f32>) {
    keep_right(at, columns[0]);
    keep_right(at + pitch, columns[1]);
    keep_right(at + 2u * pitch, columns[2]);
    keep_right(at + 3u * pitch, columns[3]);
}

fn left_matrix(at: u32, pitch: u32) -> coop_mat{{ shape }}x{{ shape }}<f16, A> {
    return coopLoadT<coop_mat{{ shape }}x{{ shape }}<f16, A>>(&left_strip[at], pitch);
}

fn right_matrix(at: u32, pitch: u32) -> coop_mat{{ shape }}x{{ shape }}<f16, B> {
    return coopLoad<coop_mat{{ shape }}x{{ shape }}<f16, B>>(&right_strip[at], pitch);
}

// Adds the product of the strips, `depth` values deep, to the share's scores.
fn multiply_strips(depth: u32) {
    let first_row = share_row();
    for (var k = 0u; k < depth; k += SHAPE) {
        let left{{ row }} = left_matrix((first_row + {{ row }}u * SHAPE) * PITCH + k, PITCH);
        let right{{ column }} = right_matrix(share_column({{ column }}u) * PITCH + k, PITCH);
        score{{ row }}_{{ column }} = coopMultiplyAdd(left{{ row }}, right{{ column }}, score{{ row }}_{{ column }});
    }
}

// Makes the scores of the tile: the products of rows of `left` and rows of `right`. `places` are those of the four rows
// that this invocation fills in.
fn multiply(lane: u32, left: u32, right: u32, places: vec4<u32>) {
    score{{ row }}_{{ column }} = coop_mat{{ shape }}x{{ shape }}<f32, C>();
    let depth_quad = lane % (DEPTH / 4u);
    let at = filled_quad(lane) * PITCH + 4u * depth_quad;
    for (var start = 0u; start < sizes.width; start += DEPTH) {
        let depth = start + 4u * depth_quad;
        var rows = mat4x4<f32>();
        if (depth < sizes.width && fills_left(lane)) {
            rows = four_rows(left, places + depth);
        } else if (depth < sizes.width && lane < 2u * ROWS / 4u * (DEPTH / 4u)) {
            rows = four_rows(right, places + depth);
        }
        meet(select(right, left, fills_left(lane)), largest_of(rows));
        workgroupBarrier();
        let scales = vec2(scale_of(left), scale_of(right));
        if (start > 0u && scales.x * scales.y != unit) {
            let change = scales.x * scales.y * inverse(unit);
            score{{ row }}_{{ column }} = score{{ row }}_{{ column }} * change;
        }
        unit = scales.x * scales.y;
        if (fills_left(lane)) {
            keep_rows(at, PITCH, scales.x * rows);
        } else if (lane < 2u * ROWS / 4u * (DEPTH / 4u)) {
            keep_columns(at, PITCH, scales.y * rows);
        }
        workgroupBarrier();
        multiply_strips(min(DEPTH, sizes.width - start));
    }
    fetch_scores(lane);
}

// Brings the scores out of the matrices.
fn fetch_scores(lane: u32) {
    sums0 = mat4x4<f32>();
    sums1 = mat4x4<f32>();
    let column = 4u * (lane % ACROSS);
    let made = is_made(4u * (lane / ACROSS));
    for (var number = 0u; number < COLUMNS / PORTION; number += 1u) {
        workgroupBarrier();
        leave(score{{ row }}_{{ column }}, share_row() + {{ row }}u * SHAPE, share_column({{ column }}u), number);
        workgroupBarrier();
        if (made && column / PORTION == number) {
            sums0 = inverse(unit) * transpose(block_of_portion(lane, column % PORTION / 4u));
        }
        if (COLUMN_QUADS == 2u && made && (column + COLUMNS / 2u) / PORTION == number) {
            sums1 = inverse(unit) * transpose(block_of_portion(lane, column % PORTION / 4u));
        }
    }
}

// Keeps the weights that this invocation has of the chunk.
fn keep_weights(lane: u32, chunk: u32, scale: f32, weights0: mat4x4<f32>, weights1: mat4x4<f32>) {
    let at = 4u * (lane / ACROSS) * CHUNK_PITCH;
    // Beyond every chunk if it is before this one.
    let quad = lane % ACROSS - chunk / 4u;
    if (quad < CHUNK / 4u) {
        keep_rows(at + 4u * quad, CHUNK_PITCH, scale * transpose(weights0));
    }
    if (COLUMN_QUADS == 2u && quad + COLUMNS / 8u < CHUNK / 4u) {
        keep_rows(at + 4u * (quad + COLUMNS / 8u), CHUNK_PITCH, scale * transpose(weights1));
    }
}

// Adds the product of the chunk to a total. Each right matrix is read where it is needed: all at once they take too many registers.
fn add_chunk(total: ptr<private, Total>) {
    let row = share_row();
    for (var k = 0u; k < CHUNK; k += SHAPE) {
        let left{{ row }} = left_matrix((row + {{ row }}u * SHAPE) * CHUNK_PITCH + k, CHUNK_PITCH);
        let at{{ quad }} = total_column({{ quad }}u) * CHUNK_PITCH + k;
        let sum{{ row }}_{{ quad }} = (*total).part{{ row }}_{{ quad }};
        (*total).part{{ row }}_{{ quad }} = coopMultiplyAdd(left{{ row }}, right_matrix(at{{ quad }}, CHUNK_PITCH), sum{{ row }}_{{ quad }});
    }
}

// Adds the rows of an operand to the total, with the weights of this tile (P or DS), whose columns they are: from the `first` of
// `count` on. The head begins at `place`.
fn add_weighted(
    total: ptr<private, Total>,
    lane: u32,
    weights: u32,
    weights0: mat4x4<f32>,
    weights1: mat4x4<f32>,
    which: u32,
    place: u32,
    first: u32,
    count: u32,
) {
    let end = min(COLUMNS, count - first);
    // The four rows and four columns of the head that this invocation fills in; the others of the head's last matrix do not matter.
    let row = 4u * (lane % (CHUNK / 4u));
    let column = 4u * (lane / (CHUNK / 4u));
    let fills = column < sizes.width;
    // Rows of another turn have no scores, so what was made of them is no weight: it may be larger than any.
    if (is_made(4u * (lane / ACROSS))) {
        meet(weights, max(largest_of(weights0), largest_of(weights1)));
    }
    for (var chunk = 0u; chunk < end; chunk += CHUNK) {
        var columns = mat4x4<f32>();
        if (fills) {
            columns = transpose(four_rows(which, place + four_places(first + chunk + row, count) + column));
        }
        meet(which, largest_of(columns));
        workgroupBarrier();
        let scales = vec2(scale_of(weights), scale_of(which));
        fit_total(total, scales.x * scales.y);
        keep_weights(lane, chunk, scales.x, weights0, weights1);
        if (fills) {
            keep_columns(column * CHUNK_PITCH + row, CHUNK_PITCH, scales.y * columns);
        }
        workgroupBarrier();
        add_chunk(total);
    }
}

// Gives the total the unit of what is added to it next.
fn fit_total(total: ptr<private, Total>, now: f32) {
    if ((*total).unit != 0.0 && (*total).unit != now) {
        let change = now * inverse((*total).unit);
        (*total).part{{ row }}_{{ quad }} = (*total).part{{ row }}_{{ quad }} * change;
    }
    (*total).unit = now;
}

// Multiplies each row of the total by a factor, if one of them is not 1. `tile` is greater each time, and 0 if nothing was added yet.
fn shrink_total(total: ptr<private, Total>, lane: u32, factors: vec4<f32>, tile: u32) {
    if (tile == 0u) {
        return;
    }
    if (is_made(4u * (lane / ACROSS)) && any(factors != vec4(1.0))) {
        meet(GROWTH, f32(tile));
    }
    workgroupBarrier();
    if (atomicLoad(&peaks[GROWTH]) == bitcast<u32>(f32(tile))) {
        for (var number = 0u; number * PORTION < sizes.width; number += 1u) {
            shrink_portion(total, lane, factors, number);
        }
    }
}

fn shrink_portion(total: ptr<private, Total>, lane: u32, factors: vec4<f32>, number: u32) {
    workgroupBarrier();
    leave((*total).part{{ row }}_{{ quad }}, share_row() + {{ row }}u * SHAPE, total_column({{ quad }}u), number);
    workgroupBarrier();
    if (lane % ACROSS < PORTION / 4u) {
        let block = scaled_rows(block_of_portion(lane, lane % ACROSS), factors);
        let at = 4u * (lane / ACROSS) * PORTION + 4u * (lane % ACROSS);
        keep_four_in_portion(at, block[0]);
        keep_four_in_portion(at + PORTION, block[1]);
        keep_four_in_portion(at + 2u * PORTION, block[2]);
        keep_four_in_portion(at + 3u * PORTION, block[3]);
    }
    workgroupBarrier();
    let column{{ quad }} = total_column({{ quad }}u);
    let row{{ row }} = share_row() + {{ row }}u * SHAPE;
    (*total).part{{ row }}_{{ quad }} = fetched((*total).part{{ row }}_{{ quad }}, row{{ row }}, column{{ quad }}, number);
}

// Writes the total, with each row multiplied by a factor, as a result whose head begins at `place`, from the row `first` of `count`
// on.
fn write_total(
    total: ptr<private, Total>,
    lane: u32,
    factors: vec4<f32>,
    which: u32,
    place: u32,
    first: u32,
    count: u32,
) {
    let row = 4u * (lane / ACROSS);
    for (var number = 0u; number * PORTION < sizes.width; number += 1u) {
        workgroupBarrier();
        leave((*total).part{{ row }}_{{ quad }}, share_row() + {{ row }}u * SHAPE, total_column({{ quad }}u), number);
        workgroupBarrier();
        if (is_made(row) && lane % ACROSS < PORTION / 4u) {
            let block = scaled_rows(block_of_portion(lane, lane % ACROSS), inverse((*total).unit) * factors);
            write_block(which, place, first + row, count, number * PORTION + 4u * (lane % ACROSS), block);
        }
    }
}
