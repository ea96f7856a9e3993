// What the linear layers' kernels share: the factors, four values at a time, and the result. Beyond the last row, column or step
// of the inner axis there are zeros.

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
    if (row < sizes.rows && k < sizes.inner) {
        return left_at(row * sizes.inner + k, sizes.inner - k);
    }
    return vec4<f32>();
}

// Four values of a column of the right factor, along the inner axis, where that lies so.
fn column_quad(column: u32, k: u32) -> vec4<f32> {
    if (column < sizes.columns && k < sizes.inner) {
        return right_at(column * sizes.inner + k, sizes.inner - k);
    }
    return vec4<f32>();
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
    if (k < sizes.inner && column < sizes.columns) {
        return right_at(k * sizes.columns + column, sizes.columns - column);
    }
    return vec4<f32>();
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let within = column % sizes.plane;
        let left = sizes.plane - within;
        let at = column / sizes.plane * sizes.plane_pitch + row * sizes.plane + within;
        result_set(at, left, values + bias_at(column, left) + residual_at(at, left));
    }
}
