// What the linear layers' kernels share: the factors, four values at a time, and the result. Beyond the last row, column or step
// of the inner axis there are zeros. Instead of branching, what is outside reads the first value and drops it: behind a branch
// each reading would be waited for before the next begins.

const BY_COLUMNS: u32 = {{ by_columns }}u;

struct Sizes {
    rows: u32,
    columns: u32,
    inner: u32,
    // Columns of a plane, and values from the beginning of one plane of the result to that of the next: a product of several
    // weights at once writes the result of each to a plane of its own.
    plane: u32,
    plane_pitch: u32,
    // Rows of workgroups (or, of blocks, workgroups) before this launch's, where a product is cut into several.
    first_group: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// Four values of a row of the left factor.
fn left_quad(row: u32, k: u32) -> vec4<f32> {
    let inside = (row < sizes.rows) & (k < sizes.inner);
    let values = left_at(select(0u, row * sizes.inner + k, inside), select(1u, sizes.inner - k, inside));
    return select(vec4<f32>(), values, inside);
}

// Four values of a column of the right factor, along the inner axis, where that lies so.
fn column_quad(column: u32, k: u32) -> vec4<f32> {
    let inside = (column < sizes.columns) & (k < sizes.inner);
    let values = right_at(select(0u, column * sizes.inner + k, inside), select(1u, sizes.inner - k, inside));
    return select(vec4<f32>(), values, inside);
}

// The same of four columns.
fn column_block(column: u32, k: u32) -> mat4x4<f32> {
    return mat4x4(
        column_quad(column, k),
        column_quad(column + 1u, k),
        column_quad(column + 2u, k),
        column_quad(column + 3u, k),
    );
}

// Four values of a row of the right factor, where that lies so.
fn row_quad(k: u32, column: u32) -> vec4<f32> {
    let inside = (k < sizes.inner) & (column < sizes.columns);
    let values = right_at(select(0u, k * sizes.columns + column, inside), select(1u, sizes.columns - column, inside));
    return select(vec4<f32>(), values, inside);
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let within = column % sizes.plane;
        let left = sizes.plane - within;
        let at = column / sizes.plane * sizes.plane_pitch + row * sizes.plane + within;
        result_set(at, left, values + bias_at(column, left) + residual_at(at, left));
    }
}
