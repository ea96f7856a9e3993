// The left factor of a linear layer's tile, behind a layer normalisation, where it is made with matrices; shared/left_normed.wgsl
// says how mean and spread come out of the product.

const PARTIALS: u32 = 2u * TILE_ROWS * DEPTH_QUADS;

// Of each row that this invocation reads: what is taken off it, and the sum of what is read, and of its squares.
var<private> origins: array<f32, {{ left_loads }}>;
var<private> seen: array<vec2<f32>, {{ left_loads }}>;
// Of each row: its mean, less what was taken off, and the reciprocal of its spread.
var<workgroup> moments: array<vec2<f32>, TILE_ROWS>;

fn begin_left(lane: u32) {
    origins[{{ left_load }}] = dot(vec4(0.25), left_quad(corner.x + row_of(lane, {{ left_load }}u), 0u));
    seen[{{ left_load }}] = vec2<f32>();
}

fn left_part(load: u32, row: u32, k: u32) -> vec4<f32> {
    let inside = k < sizes.inner;
    let gamma = select(vec4<f32>(), gamma_at(select(0u, k, inside), 4u), inside);
    let x = left_quad(row, k) - select(0.0, origins[load], inside);
    seen[load] += vec2(dot(vec4(1.0), x), dot(x, x));
    return gamma * x;
}

fn tell(row: u32, depth_quad: u32, sums: vec2<f32>) {
    let at = 2u * (row * DEPTH_QUADS + depth_quad);
    leaving[at] = sums.x;
    leaving[at + 1u] = sums.y;
}

fn end_left(lane: u32) {
    workgroupBarrier();
    tell(row_of(lane, {{ left_load }}u), lane % DEPTH_QUADS, seen[{{ left_load }}]);
    workgroupBarrier();
    for (var row = lane; row < TILE_ROWS; row += LANES) {
        var sums = vec2<f32>();
        for (var i = 2u * row * DEPTH_QUADS; i < 2u * (row + 1u) * DEPTH_QUADS; i += 2u) {
            sums += vec2(leaving[i], leaving[i + 1u]);
        }
        let means = sums / f32(sizes.inner);
        moments[row] = vec2(means.x, inverseSqrt(max(means.y - means.x * means.x, 0.0) + sizes.eps));
    }
    workgroupBarrier();
}

fn settled(row: u32, column: u32, values: vec4<f32>) -> vec4<f32> {
    let inside = column < sizes.columns;
    let sums = sums_at(select(0u, column, inside), 4u);
    return moments[row].y * (values - moments[row].x * sums);
}
