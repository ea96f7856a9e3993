// The gradient of attention.wgsl to the queries. With p the probabilities, made again from logsumexp, and delta the product
// of a query's result and its gradient: ds = p (dy v^T - delta), dq = ds k / sqrt(d).
//
// One workgroup does 64 queries of one head of one sample. It also writes delta, for attention_backward_keys_blocks.wgsl.
// logsumexp and delta are [B, queries, heads]; y, which is the result, is like dy.

//#import shared/attention_blocks_keys

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let block = group.x + sizes.first_group;
    let query = block * LANES + lane;
    let known = min(query, sizes.queries - 1u);
    let at = place(sizes.queries, sample, known, head);
    let q{{ quad }} = q_at(at + 4u * {{ quad }}u, 4u) * sizes.scale;
    let dy{{ quad }} = dy_at(at + 4u * {{ quad }}u, 4u);
    var dq{{ quad }} = vec4<f32>();
    let number = (sample * sizes.queries + known) * sizes.heads + head;
    let logsumexp = logsumexp_at(number, 1u).x;
    var delta = 0.0;
    delta += dot(y_at(at + 4u * {{ quad }}u, 4u), dy{{ quad }});
    let last = last_key(block);
    for (var first = 0u; first < last; first += TILE) {
        workgroupBarrier();
        fill_keys(lane, sample, head, first);
        workgroupBarrier();
        let count = min(TILE, last - first);
        for (var j = 0u; j < count; j += 4u) {
            let tile_at = j * QUADS;
            var scores = vec4<f32>();
            var dp = vec4<f32>();
            scores += first_products(q{{ quad }}, tile_at + {{ quad }}u);
            dp += second_products(dy{{ quad }}, tile_at + {{ quad }}u);
            let p = select(vec4<f32>(), exp(scores - logsumexp), seen_keys(query, first + j));
            let ds = p * (dp - delta);
            dq{{ quad }} += first_sum(ds, tile_at + {{ quad }}u);
        }
    }
    if (query < sizes.queries) {
        result_set(at + 4u * {{ quad }}u, 4u, dq{{ quad }} * sizes.scale);
        delta_set(number, 1u, vec4(delta));
    }
}
