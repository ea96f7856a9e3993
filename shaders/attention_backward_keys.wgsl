// The gradients of attention.wgsl to the keys and values. With ds as in attention_backward_queries.wgsl: dv = p^T dy,
// dk = ds^T q / sqrt(d).
// logsumexp and delta are [B, queries, heads].
//
// One workgroup does 64 keys of one head of one sample (shared/attention_rows.wgsl: these are its rows), for `span`
// queries: where there are few keys (the words of a prompt) the queries are shared among many workgroups, and each writes a
// result of its own, to be added up: dk, dv [splits, B, keys, heads, width].

//#import shared/attention_rows

const DK: u32 = 0u;
const DV: u32 = 1u;

var<private> dk_total: Total;
var<private> dv_total: Total;

// Logsumexp, as a power of two, and delta of the tile's queries.
var<workgroup> stats_tile: array<vec2<f32>, COLUMNS>;

fn emit(which: u32, at: u32, values: vec4<f32>) {
    if (which == DK) {
        dk_set(at, 4u, values);
    } else {
        dv_set(at, 4u, values);
    }
}

// Which of four keys a query sees.
fn is_seen(keys: vec4<u32>, query: u32) -> vec4<bool> {
    return vec4(query < sizes.queries) & (vec4(sizes.causal == 0u) | (keys <= vec4(query)));
}

fn powers(scores: mat4x4<f32>, scale: f32, column: u32) -> mat4x4<f32> {
    return mat4x4(
        exp2(scores[0] * scale - stats_tile[column].x),
        exp2(scores[1] * scale - stats_tile[column + 1u].x),
        exp2(scores[2] * scale - stats_tile[column + 2u].x),
        exp2(scores[3] * scale - stats_tile[column + 3u].x),
    );
}

fn slopes(p: mat4x4<f32>, dp: mat4x4<f32>, column: u32) -> mat4x4<f32> {
    return mat4x4(
        p[0] * (dp[0] - stats_tile[column].y),
        p[1] * (dp[1] - stats_tile[column + 1u].y),
        p[2] * (dp[2] - stats_tile[column + 2u].y),
        p[3] * (dp[3] - stats_tile[column + 3u].y),
    );
}

fn attend(group: vec3<u32>, lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let first_key = (group.x + sizes.first_group) * ROWS;
    let keys = vec4(first_key + 4u * (lane / ACROSS)) + vec4(0u, 1u, 2u, 3u);
    let column = 4u * (lane % ACROSS);
    let q_place = head_place(sizes.queries, sample, head);
    let k_place = head_place(sizes.keys, sample, head);
    let scale = sizes.scale * LOG2_E;
    let quad = filled_quad(lane);
    clear_total(&dk_total);
    clear_total(&dv_total);
    let last = min(sizes.queries, (group.z + 1u) * sizes.span);
    for (var first = group.z * sizes.span; first < last; first += COLUMNS) {
        if (lane < COLUMNS) {
            let at = (sample * sizes.queries + min(first + lane, sizes.queries - 1u)) * sizes.heads + head;
            stats_tile[lane] = vec2(logsumexp_at(at, 1u).x * LOG2_E, delta_at(at, 1u).x);
        }
        var places = k_place + four_places(first_key + quad, sizes.keys);
        if (!fills_left(lane)) {
            places = q_place + four_places(first + quad, sizes.queries);
        }
        multiply(lane, K, Q, places);
        var p0 = powers(sums0, scale, column);
        var p1 = mat4x4<f32>();
        if (COLUMN_QUADS == 2u) {
            p1 = powers(sums1, scale, column + COLUMNS / 2u);
        }
        if (first + COLUMNS > last || (sizes.causal == 1u && first < first_key + ROWS)) {
            p0 = masked(p0, 0.0, keys, first + column);
            p1 = masked(p1, 0.0, keys, first + column + COLUMNS / 2u);
        }
        multiply(lane, V, DY, places);
        let ds0 = slopes(p0, sums0, column);
        var ds1 = mat4x4<f32>();
        if (COLUMN_QUADS == 2u) {
            ds1 = slopes(p1, sums1, column + COLUMNS / 2u);
        }
        add_weighted(&dv_total, lane, P, p0, p1, DY, q_place, first, last);
        add_weighted(&dk_total, lane, DS, ds0, ds1, Q, q_place, first, last);
    }
    let place = group.z * sizes.batch * sizes.keys * sizes.heads * sizes.width + k_place;
    write_total(&dk_total, lane, vec4(sizes.scale), DK, place, first_key, sizes.keys);
    write_total(&dv_total, lane, vec4(1.0), DV, place, first_key, sizes.keys);
}
