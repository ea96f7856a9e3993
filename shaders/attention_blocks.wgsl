// Attention, softmax(q k^T / sqrt(d)) v in each head, without scores in memory (arXiv 2205.14135): the sum is carried with
// the largest score so far, and made smaller when a larger one comes.
//
// One workgroup does 64 queries of one head of one sample. It also writes the logarithm of each query's sum of exponentials,
// [B, queries, heads], which is all that the backward kernels need to have the probabilities again.

//#import shared/attention_blocks_keys

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sample = group.y / sizes.heads;
    let head = group.y % sizes.heads;
    let block = group.x + sizes.first_group;
    let query = block * LANES + lane;
    let at = place(sizes.queries, sample, min(query, sizes.queries - 1u), head);
    let q{{ quad }} = q_at(at + 4u * {{ quad }}u, 4u) * sizes.scale;
    var y{{ quad }} = vec4<f32>();
    var most = LEAST;
    var total = 0.0;
    let last = last_key(block);
    for (var first = 0u; first < last; first += TILE) {
        workgroupBarrier();
        fill_keys(lane, sample, head, first);
        workgroupBarrier();
        let count = min(TILE, last - first);
        for (var j = 0u; j < count; j += 4u) {
            let tile_at = j * QUADS;
            var scores = vec4<f32>();
            scores += first_products(q{{ quad }}, tile_at + {{ quad }}u);
            let seen = seen_keys(query, first + j);
            scores = select(vec4(LEAST), scores, seen);
            let more = max(max(most, max(scores.x, scores.y)), max(scores.z, scores.w));
            let shrink = exp(most - more);
            let p = select(vec4<f32>(), exp(scores - more), seen);
            most = more;
            total = total * shrink + dot(p, vec4(1.0));
            y{{ quad }} = y{{ quad }} * shrink + second_sum(p, tile_at + {{ quad }}u);
        }
    }
    if (query < sizes.queries) {
        result_set(at + 4u * {{ quad }}u, 4u, y{{ quad }} / total);
        logsumexp_set((sample * sizes.queries + query) * sizes.heads + head, 1u, vec4(most + log(total)));
    }
}
