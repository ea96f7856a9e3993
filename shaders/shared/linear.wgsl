// What the linear layers' kernels share: the factors, four values at a time. Beyond the last row, column or step
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
    // The same of the left factor, whose inner axis may be that of several planes, one after another: the gradients to the
    // results of such a product.
    left_plane: u32,
    left_pitch: u32,
    // Rows of workgroups (or, of blocks, workgroups) before this launch's, where a product is cut into several.
    first_group: u32,
    // Added to the variance where the rows are normalised before.
    eps: f32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

// Four values of a row of the left factor.
fn left_quad(row: u32, k: u32) -> vec4<f32> {
    let inside = (row < sizes.rows) & (k < sizes.inner);
    var plane = 0u;
    // Divisions take long, and most products have one plane.
    if (sizes.left_plane < sizes.inner) {
        plane = k / sizes.left_plane;
    }
    let within = k - plane * sizes.left_plane;
    let at = plane * sizes.left_pitch + row * sizes.left_plane + within;
    let values = left_at(select(0u, at, inside), select(1u, sizes.left_plane - within, inside));
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
