// How a tile that was made with matrices is written where its columns are neighbours: a kernel made of this has a function
// `emit(row, column, values)`, which writes four columns of a row and leaves out what is beyond the result. `settled(row, column,
// values)` makes them of sums; the row is that in the tile.

// `corner` is the tile's first row and column, `in_tile` those of the four. Whether they are the first that an invocation gives of
// a matrix, or `later`, is of no interest here.
fn leave_quad(corner: vec2<u32>, in_tile: vec2<u32>, values: vec4<f32>, later: bool) {
    let place = corner + in_tile;
    emit(place.x, place.y, settled(in_tile.x, place.y, values));
}
