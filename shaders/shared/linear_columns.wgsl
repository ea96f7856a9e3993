// The columns of a tile are neighbours: the first of the four in a quad of it.

fn column_of(first_column: u32, quad: u32) -> u32 {
    return first_column + 4u * quad;
}
