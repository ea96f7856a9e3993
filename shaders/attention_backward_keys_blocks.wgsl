// The gradients of attention.wgsl to the keys and values. With ds as in attention_backward_queries.wgsl: dv = p^T dy,
// dk = ds^T q / sqrt(d).
// logsumexp and delta are [B, queries, heads].
//
// One workgroup does 64 keys of one head of one sample, for `span` queries: where there are few keys (the words of a prompt)
// the queries are shared among many workgroups, and each writes a result of its own, to be added up:
// dk, dv [splits, B, keys, heads, 4 QUADS].

//#import shared/attention_blocks

// The first of the queries from `first` on that sees a key.
fn first_query(first: u32, key: u32) -> u32 {
    if (CAUSAL == 1u) {
        return max(first, key);
    }
    return first;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let key = (group.x + sizes.first_group) * LANES + lane;
    if (key >= sizes.keys) {
        return;
    }
    let at = place(sizes.keys, sample, key, head);
    let k{{ quad }} = k_at(at + 4u * {{ quad }}u, 4u) * sizes.scale;
    let v{{ quad }} = v_at(at + 4u * {{ quad }}u, 4u);
    var dk{{ quad }} = vec4<f32>();
    var dv{{ quad }} = vec4<f32>();
    let last = min(sizes.queries, (group.z + 1u) * sizes.span);
    for (var query = first_query(group.z * sizes.span, key); query < last; query += 1u) {
        let query_at = place(sizes.queries, sample, query, head);
        let number = (sample * sizes.queries + query) * sizes.heads + head;
        let q{{ quad }} = q_at(query_at + 4u * {{ quad }}u, 4u);
        let dy{{ quad }} = dy_at(query_at + 4u * {{ quad }}u, 4u);
        var scores = vec4<f32>();
        var dp = vec4<f32>();
        scores += k{{ quad }} * q{{ quad }};
        dp += v{{ quad }} * dy{{ quad }};
        let p = exp(sum(scores) - logsumexp_at(number, 1u).x);
        let ds = p * (sum(dp) - delta_at(number, 1u).x);
        dk{{ quad }} += ds * q{{ quad }};
        dv{{ quad }} += p * dy{{ quad }};
    }
    let split = group.z * sizes.batch * sizes.keys * sizes.heads * 4u * QUADS;
    dk_set(split + at + 4u * {{ quad }}u, 4u, dk{{ quad }} * sizes.scale);
    dv_set(split + at + 4u * {{ quad }}u, 4u, dv{{ quad }});
}
