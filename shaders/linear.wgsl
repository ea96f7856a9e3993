// The product of rows with a frozen weight, plus a bias: a linear layer, or the gradient to its input.
//
// left is [rows, inner]. right is [columns, inner] where BY_COLUMNS is 1 (a layer's weight, going forward), else
// [inner, columns] (the same weight, going back). result is [rows, columns].
//
// One workgroup makes one tile of the result: shared/tile.wgsl.
//
// Bindings: left, right (f32 or f16), bias (f32, f16 or none), result, sizes (uniform). Limits: 4 storage buffers, at most
// 12.5 KiB of workgroup memory, 128 invocations.

const BY_COLUMNS: u32 = {{ by_columns }}u;

struct Sizes {
    rows: u32,
    columns: u32,
    inner: u32,
    // Rows of workgroups before this launch's, where a product is cut into several.
    first_group: u32,
}

@group(0) @binding({{ sizes }}) var<uniform> sizes: Sizes;

fn left_quad(row: u32, k: u32) -> vec4<f32> {
    if (row < sizes.rows && k < sizes.inner) {
        return left_at(row * sizes.inner + k, sizes.inner - k);
    }
    return vec4<f32>();
}

// Four values of a column of the right factor, along the inner axis.
fn column_quad(column: u32, k: u32) -> vec4<f32> {
    if (column < sizes.columns && k < sizes.inner) {
        return right_at(column * sizes.inner + k, sizes.inner - k);
    }
    return vec4<f32>();
}

// Four values of a row of the right factor.
fn row_quad(k: u32, column: u32) -> vec4<f32> {
    if (column < sizes.columns && k < sizes.inner) {
        return right_at(k * sizes.columns + column, sizes.columns - column);
    }
    return vec4<f32>();
}

fn emit(row: u32, column: u32, values: vec4<f32>) {
    if (row < sizes.rows && column < sizes.columns) {
        let left = sizes.columns - column;
        result_set(row * sizes.columns + column, left, values + bias_at(column, left));
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = (group.y + sizes.first_group) * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let depth_quad = lane % DEPTH_QUADS;
    let left_row_quad = lane / DEPTH_QUADS;
    let row = first_row + 4u * left_row_quad;
    for (var start = 0u; start < sizes.inner; start += DEPTH) {
        let k = start + 4u * depth_quad;
        keep_left(
            depth_quad,
            left_row_quad,
            mat4x4(left_quad(row, k), left_quad(row + 1u, k), left_quad(row + 2u, k), left_quad(row + 3u, k)),
        );
        if (BY_COLUMNS == 1u) {
            for (var quad = lane / DEPTH_QUADS; quad < TILE_COLUMNS / 4u; quad += LANES / DEPTH_QUADS) {
                let column = first_column + 4u * quad;
                keep_right(
                    depth_quad,
                    quad,
                    mat4x4(
                        column_quad(column, k),
                        column_quad(column + 1u, k),
                        column_quad(column + 2u, k),
                        column_quad(column + 3u, k),
                    ),
                );
            }
        } else {
            for (var i = lane; i < DEPTH * TILE_COLUMNS / 4u; i += LANES) {
                let step = i / (TILE_COLUMNS / 4u);
                let quad = i % (TILE_COLUMNS / 4u);
                right_strip[step * RIGHT_PITCH + quad] = row_quad(start + step, first_column + 4u * quad);
            }
        }
        workgroupBarrier();
        multiply(lane);
        workgroupBarrier();
    }
    finish(lane, first_row, first_column);
}
