//! Tests of which forms of attention there are.

use super::*;

#[test]
fn every_head_that_is_served_has_a_tile_that_holds_it() {
    for width in 0..=2 * WIDEST {
        let served = (4..=WIDEST).contains(&width) && width.is_multiple_of(4);
        let tile = HeadTile::of(width);
        assert_eq!(tile.is_some(), served, "{width}");
        let Some(tile) = tile else { continue };
        let number = |name| tile.constants().iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
        let across = tile.lanes() / 16;
        let columns = (4 * number("quads") + number("rests")) * across;
        assert!(columns >= width as u32 && columns < width as u32 + 40, "{columns} columns for {width}");
    }
}

#[test]
fn shares_have_all_scores_and_every_column_of_a_head() {
    // Beside those, what tests have more shares of than there are subgroups.
    let many = HeadMatrices::of(40, HalfProducts::Matrices { shape: 8, subgroup: 4 });
    for matrices in HeadMatrices::all().chain(many) {
        let constants = matrices.constants();
        let number = |name| constants.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
        let [shape, down, across] = ["shape", "shares_down", "shares_across"].map(number);
        assert_eq!(shape * down * number("rows"), ROWS as u32, "{matrices:?}");
        assert_eq!(shape * across * number("columns"), ROWS as u32, "{matrices:?}");
        assert!(shape * across * number("quads") >= number("head"), "{matrices:?}");
        assert!(number("chunk") * number("head") / 16 <= HeadMatrices::LANES, "{matrices:?}: each fills one block");
        assert!(2 * ROWS as u32 * number("depth") / 16 <= HeadMatrices::LANES, "{matrices:?}");
    }
    let widest = |shape, subgroup| HeadMatrices::widest_subgroup(shape, subgroup);
    assert_eq!([widest(8, 8), widest(8, 32), widest(16, 32), widest(16, 64)], [32, 128, 128, 256]);
    let way = HalfProducts::Matrices { shape: 16, subgroup: 32 };
    assert_eq!(HeadMatrices::of(40, way).map(|matrices| matrices.width), Some(48));
    assert_eq!(HeadMatrices::of(42, way), None);
    assert_eq!(HeadMatrices::of(40, HalfProducts::Strips), None);
}

#[test]
fn queries_are_split_where_keys_are_few() {
    let attention = |queries: usize, keys: usize, wanted: usize| Attention {
        batch: 1,
        queries,
        keys,
        heads: 8,
        width: 40,
        causal: false,
        method: AttentionMethod::Tile(HeadTile(40)),
        wanted,
    };
    // The words of a prompt make 16 workgroups.
    assert_eq!(attention(4096, 77, 256).splits(), [16, 256]);
    assert_eq!(attention(4096, 4096, 256).splits(), [1, 4096]);
    // No split without queries, and no fewer than a workgroup has at a time.
    assert_eq!(attention(150, 77, 256).splits(), [3, 64]);
    assert_eq!(attention(100, 77, 256).splits(), [1, 128]);
    assert_eq!(attention(4096, 77, 2).splits(), [1, 4096]);
}
