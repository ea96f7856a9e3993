// Attention's products with sums in registers, which are as many for every head: shared/attention_rows.wgsl says what of.
//
// A workgroup is 16 x ACROSS invocations. Scores are made as a product is in shared/tile.wgsl: the head is walked in strips of
// DEPTH values of both factors. The weights of CHUNK columns at a time, and what is weighted with them, go to the workgroup's
// memory, too, and each invocation adds to its part of the result (`Total`): four rows, and of every 4 ACROSS columns of the
// head four. What is left of the head is shared out one column at a time, so that heads of 40 or 80 leave nobody without work.
//
// Strips and chunks lie in the same memory, one after the other. They have one quad more than they need in each step, as
// in shared/tile.wgsl.

//#import shared/attention_rows

// By how much scores may grow before a total is made smaller: here that costs little.
const PATIENCE: f32 = 0.0;
// Fours of columns of the head that an invocation has, and single ones.
const QUADS: u32 = {{ quads }}u;
const RESTS: u32 = {{ rests }}u;

const PITCH: u32 = ROWS / 4u + 1u;
const RIGHT: u32 = DEPTH * PITCH;
const VALUES: u32 = CHUNK * PITCH;
const VALUES_PITCH: u32 = QUADS * ACROSS + RESTS * ACROSS / 4u;
const MEMORY: u32 = max(max(2u * DEPTH * PITCH, VALUES + CHUNK * VALUES_PITCH), RESTS * ACROSS * PITCH);

var<workgroup> memory: array<vec4<f32>, MEMORY>;

// The part of a result that an invocation makes: block[row] for four columns, rest[row] for one.
struct Total {
    block{{ quad }}: mat4x4<f32>,
    rest{{ rest }}: vec4<f32>,
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    attend(group, lane);
}

// Whether this workgroup makes a row at present.
fn is_made(row: u32) -> bool {
    return true;
}

fn clear_total(total: ptr<private, Total>) {
    *total = Total();
}

// Keeps what each invocation has of its four rows, for those that have the same rows.
fn exchange(lane: u32, own: vec4<f32>) {
    workgroupBarrier();
    memory[lane % ACROSS * DOWN + lane / ACROSS] = own;
    workgroupBarrier();
}

// What the invocation of this number among them has.
fn exchanged(lane: u32, number: u32) -> vec4<f32> {
    return memory[number * DOWN + lane / ACROSS];
}

fn outer(left: vec4<f32>, right: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(left.x * right, left.y * right, left.z * right, left.w * right);
}

fn multiply_step(left_at: u32, right_at: u32) {
    let rows = memory[left_at];
    sums0 += outer(memory[right_at], rows);
    if (COLUMN_QUADS == 2u) {
        sums1 += outer(memory[right_at + ACROSS], rows);
    }
}

// Adds the product of the strips, `depth` values deep, to this invocation's scores.
fn multiply_strips(lane: u32, depth: u32) {
    var left_at = lane / ACROSS;
    var right_at = RIGHT + lane % ACROSS;
    for (var step = 0u; step < depth; step += 4u) {
        multiply_step(left_at, right_at);
        multiply_step(left_at + PITCH, right_at + PITCH);
        multiply_step(left_at + 2u * PITCH, right_at + 2u * PITCH);
        multiply_step(left_at + 3u * PITCH, right_at + 3u * PITCH);
        left_at += 4u * PITCH;
        right_at += 4u * PITCH;
    }
}

// Makes the scores of the tile: the products of rows of `left` and rows of `right`. `places` are those of the four rows
// that this invocation fills in.
fn multiply(lane: u32, left: u32, right: u32, places: vec4<u32>) {
    sums0 = mat4x4<f32>();
    sums1 = mat4x4<f32>();
    let depth_quad = lane % (DEPTH / 4u);
    let at = 4u * depth_quad * PITCH + filled_quad(lane) / 4u;
    for (var start = 0u; start < sizes.width; start += DEPTH) {
        let source = places + min(start + 4u * depth_quad, sizes.width - 4u);
        workgroupBarrier();
        if (fills_left(lane)) {
            keep_strip(at, four_rows(left, source));
        } else if (lane < 2u * ROWS / 4u * (DEPTH / 4u)) {
            keep_strip(RIGHT + at, four_rows(right, source));
        }
        workgroupBarrier();
        multiply_strips(lane, min(DEPTH, sizes.width - start));
    }
}

// Keeps four rows of four values along the head in a strip.
fn keep_strip(at: u32, rows: mat4x4<f32>) {
    keep_four(at, transpose(rows));
}

fn keep_four(at: u32, steps: mat4x4<f32>) {
    memory[at] = steps[0];
    memory[at + PITCH] = steps[1];
    memory[at + 2u * PITCH] = steps[2];
    memory[at + 3u * PITCH] = steps[3];
}

// Keeps the weights that this invocation has of the chunk.
fn keep_weights(lane: u32, chunk: u32, weights0: mat4x4<f32>, weights1: mat4x4<f32>) {
    // Beyond every chunk if it is before this one.
    let column = 4u * (lane % ACROSS) - chunk;
    if (column < CHUNK) {
        keep_four(column * PITCH + lane / ACROSS, weights0);
    }
    if (COLUMN_QUADS == 2u && column + COLUMNS / 2u < CHUNK) {
        keep_four((column + COLUMNS / 2u) * PITCH + lane / ACROSS, weights1);
    }
}

fn add_step(total: ptr<private, Total>, weights_at: u32, values_at: u32, rest_at: u32, component: u32) {
    let weights = memory[weights_at];
    (*total).block{{ quad }} += outer(weights, memory[values_at + {{ quad }}u * ACROSS]);
    (*total).rest{{ rest }} += weights * memory[rest_at + {{ rest }}u * (ACROSS / 4u)][component];
}

fn add_chunk(total: ptr<private, Total>, lane: u32) {
    let component = lane % 4u;
    var weights_at = lane / ACROSS;
    var values_at = VALUES + lane % ACROSS;
    var rest_at = VALUES + QUADS * ACROSS + lane % ACROSS / 4u;
    for (var step = 0u; step < CHUNK; step += 4u) {
        add_step(total, weights_at, values_at, rest_at, component);
        add_step(total, weights_at + PITCH, values_at + VALUES_PITCH, rest_at + VALUES_PITCH, component);
        add_step(total, weights_at + 2u * PITCH, values_at + 2u * VALUES_PITCH, rest_at + 2u * VALUES_PITCH, component);
        add_step(total, weights_at + 3u * PITCH, values_at + 3u * VALUES_PITCH, rest_at + 3u * VALUES_PITCH, component);
        weights_at += 4u * PITCH;
        values_at += 4u * VALUES_PITCH;
        rest_at += 4u * VALUES_PITCH;
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
    let step = lane / ACROSS;
    let end = min(COLUMNS, count - first);
    for (var chunk = 0u; chunk < end; chunk += CHUNK) {
        workgroupBarrier();
        keep_weights(lane, chunk, weights0, weights1);
        let source = place + min(first + chunk + step, count - 1u) * sizes.heads * sizes.width;
        for (var quad = lane % ACROSS; quad < sizes.width / 4u; quad += ACROSS) {
            memory[VALUES + step * VALUES_PITCH + quad] = operand(which, source + 4u * quad);
        }
        workgroupBarrier();
        add_chunk(total, lane);
    }
}

// Multiplies each row of the total by a factor. `tile` is not the same twice.
fn shrink_total(total: ptr<private, Total>, lane: u32, factors: vec4<f32>, tile: u32) {
    scale_total(total, factors);
}

fn scale_total(total: ptr<private, Total>, factors: vec4<f32>) {
    (*total).block{{ quad }} = scaled_rows((*total).block{{ quad }}, factors);
    (*total).rest{{ rest }} *= factors;
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
    scale_total(total, factors);
    let row = first + 4u * (lane / ACROSS);
    let column = 4u * (lane % ACROSS);
    write_block(which, place, row, count, column + {{ quad }}u * 4u * ACROSS, (*total).block{{ quad }});
    if (RESTS > 0u) {
        // Single columns of four rows become fours of columns.
        workgroupBarrier();
        memory[({{ rest }}u * ACROSS + lane % ACROSS) * PITCH + lane / ACROSS] = (*total).rest{{ rest }};
        workgroupBarrier();
        for (var i = lane; i < RESTS * ACROSS / 4u * DOWN; i += LANES) {
            let at = i / DOWN * 4u * PITCH + i % DOWN;
            let columns = mat4x4(memory[at], memory[at + PITCH], memory[at + 2u * PITCH], memory[at + 3u * PITCH]);
            let rest_column = 4u * (QUADS * ACROSS + i / DOWN);
            write_block(which, place, first + 4u * (i % DOWN), count, rest_column, transpose(columns));
        }
    }
}

