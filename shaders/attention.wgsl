// Attention, softmax(q k^T / sqrt(d)) v in each head, without scores in memory (arXiv 2205.14135): the sum is carried with
// the largest score so far, and made smaller when a larger one comes (a much larger one, where that costs something).
//
// One workgroup does 64 queries of one head of one sample (shared/attention_rows.wgsl). It also writes the logarithm of
// each query's sum of exponentials, [B, queries, heads], which is all that the backward kernels need to have the
// probabilities again.

//#import shared/attention_queries

// Less than any score.
const LEAST: f32 = -1e30;
const LN_2: f32 = 0.6931471805599453;

var<private> y: Total;

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
        most = max(most, exchanged(lane, i));
    }
    return most;
}

fn attend(group: vec3<u32>, lane: u32) {
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
    clear_total(&y);
    for (var first = 0u; first < last; first += COLUMNS) {
        multiply(lane, Q, K, filled_places(lane, q_place, first_query, k_place, first));
        if (is_partly_seen(first_query, first)) {
            let key = first + 4u * (lane % ACROSS);
            sums0 = masked(sums0, LEAST, queries, key);
            sums1 = masked(sums1, LEAST, queries, key + COLUMNS / 2u);
        }
        let most_here = most_of_tile(lane) * scale;
        let more = select(most, most_here, most_here > most + PATIENCE);
        let shrink = exp2(most - more);
        most = more;
        let p0 = powers(sums0, scale, most);
        sum = sum * shrink + p0 * vec4(1.0);
        var p1 = mat4x4<f32>();
        if (COLUMN_QUADS == 2u) {
            p1 = powers(sums1, scale, most);
            sum += p1 * vec4(1.0);
        }
        shrink_total(&y, lane, shrink, first);
        add_weighted(&y, lane, P, p0, p1, V, k_place, first, last);
    }
    sum = row_sums(lane, sum);
    write_total(&y, lane, 1.0 / sum, 0u, q_place, first_query, sizes.queries);
    // One of those that have the same rows.
    if (lane % ACROSS == 0u && is_made(query - first_query)) {
        let logsumexp = (most + log2(sum)) * LN_2;
        for (var i = 0u; i < min(4u, sizes.queries - min(query, sizes.queries)); i += 1u) {
            logsumexp_set((sample * sizes.queries + query + i) * sizes.heads + head, 1u, vec4(logsumexp[i]));
        }
    }
}
