// Attention, softmax(q k^T / sqrt(d)) v in each head, without scores in memory (arXiv 2205.14135): the sum is carried with
// the largest score so far, and made smaller when a larger one comes.
//
// One workgroup does 64 queries of one head of one sample (shared/attention_tile.wgsl). It also writes the logarithm of
// each query's sum of exponentials, [B, queries, heads], which is all that the backward kernels need to have the
// probabilities again.

//#import shared/attention_queries

const Q: u32 = 0u;
const K: u32 = 1u;
const V: u32 = 2u;

// Less than any score.
const LEAST: f32 = -1e30;
const LN_2: f32 = 0.6931471805599453;

var<private> y: Total;

fn operand(which: u32, at: u32) -> vec4<f32> {
    if (which == Q) {
        return q_at(at, 4u);
    }
    if (which == K) {
        return k_at(at, 4u);
    }
    return v_at(at, 4u);
}

fn emit(which: u32, at: u32, values: vec4<f32>) {
    result_set(at, 4u, values);
}

fn most_of_four(columns: mat4x4<f32>) -> vec4<f32> {
    return max(max(columns[0], columns[1]), max(columns[2], columns[3]));
}

// The largest score of each of four rows, among those of the whole workgroup.
fn most_of_tile(lane: u32) -> vec4<f32> {
    var most = most_of_four(sums0);
    if (COLUMN_QUADS == 2u) {
        most = max(most, most_of_four(sums1));
    }
    exchange(lane, most);
    for (var i = 0u; i < ACROSS; i += 1u) {
        most = max(most, memory[i * DOWN + lane / ACROSS]);
    }
    return most;
}

fn powers(scores: mat4x4<f32>, scale: f32, most: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        exp2(scores[0] * scale - most),
        exp2(scores[1] * scale - most),
        exp2(scores[2] * scale - most),
        exp2(scores[3] * scale - most),
    );
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let first_query = (group.x + sizes.first_group) * ROWS;
    let query = first_query + 4u * (lane / ACROSS);
    let queries = vec4(query) + vec4(0u, 1u, 2u, 3u);
    let q_place = head_place(sizes.queries, sample, head);
    let k_place = head_place(sizes.keys, sample, head);
    let scale = sizes.scale * LOG2_E;
    let last = last_key(first_query);
    var most = vec4(LEAST);
    // Of this invocation's columns.
    var sum = vec4<f32>();
    for (var first = 0u; first < last; first += COLUMNS) {
        multiply(lane, Q, K, filled_places(lane, q_place, first_query, k_place, first));
        if (is_partly_seen(first_query, first)) {
            let key = first + 4u * (lane % ACROSS);
            sums0 = masked(sums0, LEAST, queries, key);
            sums1 = masked(sums1, LEAST, queries, key + COLUMNS / 2u);
        }
        let more = max(most, most_of_tile(lane) * scale);
        let shrink = exp2(most - more);
        most = more;
        let p0 = powers(sums0, scale, most);
        sum = sum * shrink + p0 * vec4(1.0);
        var p1 = mat4x4<f32>();
        if (COLUMN_QUADS == 2u) {
            p1 = powers(sums1, scale, most);
            sum += p1 * vec4(1.0);
        }
        scale_total(&y, shrink);
        add_weighted(&y, lane, p0, p1, V, k_place, first, last);
    }
    sum = row_sums(lane, sum);
    scale_total(&y, 1.0 / sum);
    write_total(&y, lane, 0u, q_place, first_query, sizes.queries);
    // One of those that have the same rows.
    if (lane % ACROSS == 0u) {
        let logsumexp = (most + log2(sum)) * LN_2;
        for (var i = 0u; i < min(4u, sizes.queries - min(query, sizes.queries)); i += 1u) {
            logsumexp_set((sample * sizes.queries + query + i) * sizes.heads + head, 1u, vec4(logsumexp[i]));
        }
    }
}
