// Attention, softmax(q k^T / sqrt(d)) v in each head, without scores in memory (arXiv 2205.14135): the sum is carried with
// the largest score so far, and made smaller when a larger one comes.
//
// One workgroup does 64 queries of one head of one sample. It also writes the logarithm of each query's sum of exponentials,
// [B, queries, heads], which is all that the backward kernels need to have the probabilities again.

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
    var y{{ quad }} = vec4<f32>();
    var most = LEAST;
    var total = 0.0;
    let last = last_key(query);
    var key_at = place(sizes.keys, sample, 0u, head);
    for (var key = 0u; key < last; key += 1u) {
        var products = vec4<f32>();
        products += q{{ quad }} * k_at(key_at + 4u * {{ quad }}u, 4u);
        let score = sum(products);
        let more = max(most, score);
        let shrink = exp(most - more);
        let p = exp(score - more);
        most = more;
        total = total * shrink + p;
        y{{ quad }} = y{{ quad }} * shrink + p * v_at(key_at + 4u * {{ quad }}u, 4u);
        key_at += pitch();
    }
    result_set(at + 4u * {{ quad }}u, 4u, y{{ quad }} / total);
    logsumexp_set((sample * sizes.queries + query) * sizes.heads + head, 1u, vec4(most + log(total)));
}
