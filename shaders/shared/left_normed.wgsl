// The left factor of a linear layer's tile, behind a layer normalisation: (x - mean) * rstd * gamma + beta, times W, plus b.
//
// Mean and spread of a row are known when all of it has been read, and then they come out of the product, as
// rstd * ((x * gamma) W - mean * (gamma W)) + (beta W + b). gamma W is `sums`, what is behind it is `bias`: both are made when a
// model is loaded. In place of x there is x less the mean of the first four of its row, so that a large mean costs no
// accuracy.

// What is taken off the rows that this invocation reads, and the sums of what is read of each row, and of its squares.
var<private> origins: vec4<f32>;
var<private> totals: vec4<f32>;
var<private> squares: vec4<f32>;
// Of this invocation's two quads of rows: their means, less that, and the reciprocals of their spreads.
var<private> means: mat2x4<f32>;
var<private> spreads: mat2x4<f32>;

fn begin_left(row: u32) {
    let first = mat4x4(left_quad(row, 0u), left_quad(row + 1u, 0u), left_quad(row + 2u, 0u), left_quad(row + 3u, 0u));
    origins = vec4(0.25) * first;
}

// Four rows of four values each, along the inner axis.
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    let inside = k < sizes.inner;
    let gamma = select(vec4<f32>(), gamma_at(select(0u, k, inside), 4u), inside);
    let shift = select(vec4<f32>(), origins, inside);
    let x = mat4x4(
        left_quad(row, k) - shift.x,
        left_quad(row + 1u, k) - shift.y,
        left_quad(row + 2u, k) - shift.z,
        left_quad(row + 3u, k) - shift.w,
    );
    totals += vec4(1.0) * x;
    squares += vec4(dot(x[0], x[0]), dot(x[1], x[1]), dot(x[2], x[2]), dot(x[3], x[3]));
    return mat4x4(gamma * x[0], gamma * x[1], gamma * x[2], gamma * x[3]);
}

// Mean and reciprocal spread of a quad of rows, from what the invocations have seen that filled it.
fn moments(row_quad: u32) -> mat2x4<f32> {
    var total = vec4<f32>();
    var square = vec4<f32>();
    for (var i = 0u; i < DEPTH_QUADS; i += 1u) {
        total += told(2u * (row_quad * DEPTH_QUADS + i));
        square += told(2u * (row_quad * DEPTH_QUADS + i) + 1u);
    }
    let mean = total / f32(sizes.inner);
    return mat2x4(mean, inverseSqrt(max(square / f32(sizes.inner) - mean * mean, vec4<f32>()) + sizes.eps));
}

// Invocations read partial sums of each other, where a strip may have been.
fn end_left(lane: u32, depth_quad: u32, row_quad: u32) {
    workgroupBarrier();
    if (fills_left(lane)) {
        tell(2u * (row_quad * DEPTH_QUADS + depth_quad), totals);
        tell(2u * (row_quad * DEPTH_QUADS + depth_quad) + 1u, squares);
    }
    workgroupBarrier();
    let first = moments(lane / ACROSS);
    means[0] = first[0];
    spreads[0] = first[1];
    if (ROW_QUADS == 2u) {
        let second = moments(lane / ACROSS + DOWN);
        means[1] = second[0];
        spreads[1] = second[1];
    }
}

fn settled(values: vec4<f32>, place: vec2<u32>, column: u32) -> vec4<f32> {
    let inside = column < sizes.columns;
    let sums = sums_at(select(0u, column, inside), 4u);
    return spreads[place.x][place.y] * (way_back() * values - means[place.x][place.y] * sums);
}
