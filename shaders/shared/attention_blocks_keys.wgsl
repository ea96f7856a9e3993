// What the attention kernels for software GPUs share that walk the keys: tiles of keys and values, and which keys a query sees.

//#import shared/attention_blocks

// Fills the tiles with keys and values from `first` on; zeros after the last.
fn fill_keys(lane: u32, sample: u32, head: u32, first: u32) {
    for (var i = lane; i < TILE * QUADS; i += LANES) {
        let key = first + i / QUADS;
        var key_quad = vec4<f32>();
        var value_quad = vec4<f32>();
        if (key < sizes.keys) {
            let at = place(sizes.keys, sample, key, head) + 4u * (i % QUADS);
            key_quad = k_at(at, 4u);
            value_quad = v_at(at, 4u);
        }
        first_tile[i] = key_quad;
        second_tile[i] = value_quad;
    }
}

// Which of the four keys from `key` on a query sees.
fn seen_keys(query: u32, key: u32) -> vec4<bool> {
    let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
    let there = keys < vec4(sizes.keys);
    if (CAUSAL == 1u) {
        return there & (keys <= vec4(query));
    }
    return there;
}

// One more than the last key that any query of this workgroup sees.
fn last_key(group: u32) -> u32 {
    if (CAUSAL == 1u) {
        return min(sizes.keys, (group + 1u) * LANES);
    }
    return sizes.keys;
}
