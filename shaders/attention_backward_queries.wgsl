// The gradient of attention.wgsl to the queries. With p the probabilities, made again from logsumexp, and delta the product
// of a query's result and its gradient: ds = p (dy v^T - delta), dq = ds k / sqrt(d).
//
// One workgroup does 64 queries of one head of one sample (shared/attention_rows.wgsl). It also writes delta, for
// attention_backward_keys.wgsl. logsumexp and delta are [B, queries, heads]; y, which is the result, is like dy.

//#import shared/attention_queries

var<private> dq: Total;

// The logsumexp of four neighbours, `heads` apart; those beyond the last query repeat it.
fn four_logsumexps(first: u32, query: u32) -> vec4<f32> {
    let at = first + min(vec4(query) + vec4(0u, 1u, 2u, 3u), vec4(sizes.queries - 1u)) * sizes.heads;
    return vec4(logsumexp_at(at.x, 1u).x, logsumexp_at(at.y, 1u).x, logsumexp_at(at.z, 1u).x, logsumexp_at(at.w, 1u).x);
}

// The products of four results and their gradients, which lie at these places.
fn four_deltas(lane: u32, places: vec4<u32>) -> vec4<f32> {
    var own = vec4<f32>();
    for (var quad = lane % ACROSS; quad < sizes.width / 4u; quad += ACROSS) {
        let at = places + 4u * quad;
        own += vec4(
            dot(y_at(at.x, 4u), dy_at(at.x, 4u)),
            dot(y_at(at.y, 4u), dy_at(at.y, 4u)),
            dot(y_at(at.z, 4u), dy_at(at.z, 4u)),
            dot(y_at(at.w, 4u), dy_at(at.w, 4u)),
        );
    }
    return row_sums(lane, own);
}

fn slopes(p: mat4x4<f32>, dp: mat4x4<f32>, delta: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(p[0] * (dp[0] - delta), p[1] * (dp[1] - delta), p[2] * (dp[2] - delta), p[3] * (dp[3] - delta));
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
    let number_place = sample * sizes.queries * sizes.heads + head;
    let logsumexp = four_logsumexps(number_place, query) * LOG2_E;
    let delta = four_deltas(lane, q_place + four_places(query, sizes.queries));
    // One of those that have the same rows.
    if (lane % ACROSS == 0u && is_made(query - first_query)) {
        for (var i = 0u; i < min(4u, sizes.queries - min(query, sizes.queries)); i += 1u) {
            delta_set(number_place + (query + i) * sizes.heads, 1u, vec4(delta[i]));
        }
    }
    let last = last_key(first_query);
    clear_total(&dq);
    for (var first = 0u; first < last; first += COLUMNS) {
        let places = filled_places(lane, q_place, first_query, k_place, first);
        multiply(lane, Q, K, places);
        let p0 = powers(sums0, scale, logsumexp);
        var p1 = mat4x4<f32>();
        if (COLUMN_QUADS == 2u) {
            p1 = powers(sums1, scale, logsumexp);
        }
        multiply(lane, DY, V, places);
        var ds0 = slopes(p0, sums0, delta);
        var ds1 = mat4x4<f32>();
        if (COLUMN_QUADS == 2u) {
            ds1 = slopes(p1, sums1, delta);
        }
        if (is_partly_seen(first_query, first)) {
            let key = first + 4u * (lane % ACROSS);
            ds0 = masked(ds0, 0.0, queries, key);
            ds1 = masked(ds1, 0.0, queries, key + COLUMNS / 2u);
        }
        add_weighted(&dq, lane, DS, ds0, ds1, K, k_place, first, last);
    }
    write_total(&dq, lane, vec4(sizes.scale), 0u, q_place, first_query, sizes.queries);
}
