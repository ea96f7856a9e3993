// The gradients of attention.wgsl to the keys and values. With ds as in attention_backward_queries.wgsl: dv = p^T dy,
// dk = ds^T q / sqrt(d).
// logsumexp and delta are [B, queries, heads].
//
// One workgroup does 64 keys of one head of one sample, for `span` queries: where there are few keys (the words of a prompt)
// the queries are shared among many workgroups, and each writes a result of its own, to be added up:
// dk, dv [splits, B, keys, heads, 4 QUADS].

//#import shared/attention_blocks

var<workgroup> stats_tile: array<vec2<f32>, TILE>;

// Fills the tiles with queries, gradients and what is known of them from `first` on; zeros from `last` on.
fn fill_queries(lane: u32, sample: u32, head: u32, first: u32, last: u32) {
    for (var i = lane; i < TILE * QUADS; i += LANES) {
        let query = first + i / QUADS;
        var query_quad = vec4<f32>();
        var gradient_quad = vec4<f32>();
        if (query < last) {
            let at = place(sizes.queries, sample, query, head) + 4u * (i % QUADS);
            query_quad = q_at(at, 4u);
            gradient_quad = dy_at(at, 4u);
        }
        first_tile[i] = query_quad;
        second_tile[i] = gradient_quad;
    }
    for (var i = lane; i < TILE; i += LANES) {
        var stat = vec2<f32>();
        if (first + i < last) {
            let at = (sample * sizes.queries + first + i) * sizes.heads + head;
            stat = vec2(logsumexp_at(at, 1u).x, delta_at(at, 1u).x);
        }
        stats_tile[i] = stat;
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let key = (group.x + sizes.first_group) * LANES + lane;
    let at = place(sizes.keys, sample, min(key, sizes.keys - 1u), head);
    let k{{ quad }} = k_at(at + 4u * {{ quad }}u, 4u) * sizes.scale;
    let v{{ quad }} = v_at(at + 4u * {{ quad }}u, 4u);
    var dk{{ quad }} = vec4<f32>();
    var dv{{ quad }} = vec4<f32>();
    let last = min(sizes.queries, (group.z + 1u) * sizes.span);
    for (var first = group.z * sizes.span; first < last; first += TILE) {
        workgroupBarrier();
        fill_queries(lane, sample, head, first, last);
        workgroupBarrier();
        let count = min(TILE, last - first);
        for (var j = 0u; j < count; j += 4u) {
            let tile_at = j * QUADS;
            var scores = vec4<f32>();
            var dp = vec4<f32>();
            scores += first_products(k{{ quad }}, tile_at + {{ quad }}u);
            dp += second_products(v{{ quad }}, tile_at + {{ quad }}u);
            let queries = vec4(first + j) + vec4(0u, 1u, 2u, 3u);
            var seen = queries < vec4(last);
            if (CAUSAL == 1u) {
                seen = seen & (vec4(key) <= queries);
            }
            let known = mat2x4(
                vec4(stats_tile[j].x, stats_tile[j + 1u].x, stats_tile[j + 2u].x, stats_tile[j + 3u].x),
                vec4(stats_tile[j].y, stats_tile[j + 1u].y, stats_tile[j + 2u].y, stats_tile[j + 3u].y),
            );
            let p = select(vec4<f32>(), exp(scores - known[0]), seen);
            let ds = p * (dp - known[1]);
            dk{{ quad }} += first_sum(ds, tile_at + {{ quad }}u);
            dv{{ quad }} += second_sum(p, tile_at + {{ quad }}u);
        }
    }
    if (key < sizes.keys) {
        let split = group.z * sizes.batch * sizes.keys * sizes.heads * 4u * QUADS;
        dk_set(split + at + 4u * {{ quad }}u, 4u, dk{{ quad }} * sizes.scale);
        dv_set(split + at + 4u * {{ quad }}u, 4u, dv{{ quad }});
    }
}
