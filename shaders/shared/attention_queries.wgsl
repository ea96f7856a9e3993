// What the attention kernels share whose rows are queries, and whose columns are keys.

//#import shared/attention_rows

// Which of four queries see a key.
fn is_seen(queries: vec4<u32>, key: u32) -> vec4<bool> {
    return vec4(key < sizes.keys) & (vec4(sizes.causal == 0u) | (vec4(key) <= queries));
}

// Whether a query of the tile does not see one of its keys.
fn is_partly_seen(first_query: u32, first_key: u32) -> bool {
    return first_key + COLUMNS > sizes.keys || (sizes.causal == 1u && first_key + COLUMNS > first_query + 1u);
}

// One more than the last key that a query of this workgroup sees.
fn last_key(first_query: u32) -> u32 {
    return select(sizes.keys, min(sizes.keys, first_query + ROWS), sizes.causal == 1u);
}

// The sums of each of four rows over the invocations that have a part of it.
fn row_sums(lane: u32, own: vec4<f32>) -> vec4<f32> {
    exchange(lane, own);
    var sums = vec4<f32>();
    for (var i = 0u; i < ACROSS; i += 1u) {
        sums += exchanged(lane, i);
    }
    return sums;
}

// Two to the power of each scaled score less its row's number.
fn powers(scores: mat4x4<f32>, scale: f32, rows: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        exp2(scores[0] * scale - rows),
        exp2(scores[1] * scale - rows),
        exp2(scores[2] * scale - rows),
        exp2(scores[3] * scale - rows),
    );
}

fn emit(which: u32, at: u32, values: vec4<f32>) {
    result_set(at, 4u, values);
}

// Where the four rows lie that an invocation fills in: queries, the same for every tile, or keys from `first_key` on.
fn filled_places(lane: u32, q_place: u32, first_query: u32, k_place: u32, first_key: u32) -> vec4<u32> {
    let quad = filled_quad(lane);
    if (fills_left(lane)) {
        return q_place + four_places(first_query + quad, sizes.queries);
    }
    return k_place + four_places(first_key + quad, sizes.keys);
}
