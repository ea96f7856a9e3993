// The sizes of an attention: q, dy [B, queries, heads, width]; k, v [B, keys, heads, width].

struct Sizes {
    queries: u32,
    keys: u32,
    heads: u32,
    // Of a head.
    width: u32,
    // 1 if a query sees the keys up to its own position, else 0.
    causal: u32,
    scale: f32,
    // Queries that one workgroup walks for the gradients to the keys.
    span: u32,
    batch: u32,
    // Workgroups along the first axis before this launch's, where an attention is cut into several.
    first_group: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;
