// What the products share on software GPUs (Mesa's lavapipe, SwiftShader): there, reading a value is what costs
// (on lavapipe some twenty cycles, from workgroup memory as much as from a buffer), while registers and arithmetic are cheap.
// So each invocation reads for itself and makes a block of ROWS x 4 QUADS values of the result, as many as the program's
// compiler has registers for, without waiting for others.
//
// A line with the number of a row or of a quad in it stands once for each.

const LANES: u32 = {{ lanes }}u;
const ROWS: u32 = {{ rows }}u;
const QUADS: u32 = {{ quads }}u;

// First column and row of a block of a result that has this many columns.
fn corner(block: u32, columns: u32) -> vec2<u32> {
    let across = (columns + 4u * QUADS - 1u) / (4u * QUADS);
    return vec2(block % across * 4u * QUADS, block / across * ROWS);
}
