// The gradient of attention.wgsl to the queries. With p the probabilities, made again from logsumexp, and delta the product
// of a query's result and its gradient: ds = p (dy v^T - delta), dq = ds k / sqrt(d).
//
// One workgroup does 64 queries of one head of one sample. It also writes delta, for attention_backward_keys_blocks.wgsl.
// logsumexp and delta are [B, queries, heads]; y, which is the result, is like dy.

//#import shared/attention_blocks

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let query = (group.x + sizes.first_group) * LANES + lane;
    if (query >= sizes.queries) {
        return;
    }
    let at = place(sizes.queries, sample, query, head);
    let q{{ quad }} = q_at(at + 4u * {{ quad }}u, 4u) * sizes.scale;
    let dy{{ quad }} = dy_at(at + 4u * {{ quad }}u, 4u);
    var dq{{ quad }} = vec4<f32>();
    let number = (sample * sizes.queries + query) * sizes.heads + head;
    let logsumexp = logsumexp_at(number, 1u).x;
    var products = vec4<f32>();
    products += y_at(at + 4u * {{ quad }}u, 4u) * dy{{ quad }};
    let delta = sum(products);
    let last = last_key(query);
    var key_at = place(sizes.keys, sample, 0u, head);
    for (var key = 0u; key < last; key += 1u) {
        let k{{ quad }} = k_at(key_at + 4u * {{ quad }}u, 4u);
        var scores = vec4<f32>();
        var dp = vec4<f32>();
        scores += q{{ quad }} * k{{ quad }};
        dp += dy{{ quad }} * v_at(key_at + 4u * {{ quad }}u, 4u);
        let ds = exp(sum(scores) - logsumexp) * (sum(dp) - delta);
        dq{{ quad }} += ds * k{{ quad }};
        key_at += pitch();
    }
    result_set(at + 4u * {{ quad }}u, 4u, dq{{ quad }} * sizes.scale);
    delta_set(number, 1u, vec4(delta));
}
