// How a gated MLP's first layer is written that is made with matrices. Every other matrix along the columns has the gates of the one
// before it: an invocation keeps what it was given of that.

//#import shared/linear_emit_pair

// The values that this invocation was given first, and later: a matrix of each share is at most two quads for each.
var<private> valued: vec4<f32>;
var<private> valued_later: vec4<f32>;

fn column_of(first_column: u32, quad: u32) -> u32 {
    let matrix = quad / (SHAPE / 4u);
    let value = first_column / 2u + matrix / 2u * SHAPE + 4u * (quad % (SHAPE / 4u));
    return value + select(0u, sizes.columns / 2u, matrix % 2u == 1u);
}

fn leave_quad(corner: vec2<u32>, in_tile: vec2<u32>, values: vec4<f32>, later: bool) {
    let column = column_of(corner.y, in_tile.y / 4u);
    let own = settled(in_tile.x, column, values);
    if (in_tile.y / SHAPE % 2u == 1u) {
        emit_pair(corner.x + in_tile.x, column - sizes.columns / 2u, select(valued, valued_later, later), own);
    } else if (later) {
        valued_later = own;
    } else {
        valued = own;
    }
}
