//! Sheets and curves: sizes, and input that nobody should give.

use image::RgbImage;
use pseudoword::image::{Sheet, SheetRow, loss_curve};

use crate::made::*;

fn row(label: &str, pictures: &[Option<(u32, u32)>]) -> SheetRow {
    let draw = |size: Option<(u32, u32)>| size.map(|(width, height)| RgbImage::from_pixel(width, height, RED));
    SheetRow { label: label.to_owned(), pictures: pictures.iter().copied().map(draw).collect() }
}

#[test]
fn sheets_have_the_size_their_cells_ask_for() {
    let side = |rows: Vec<SheetRow>| Sheet { rows, ..Sheet::default() }.render().dimensions();
    // 28 of margin on each side, 10 between cells; 64 is magnified to 128
    assert_eq!(side(vec![row("", &[Some((64, 64)), Some((64, 64))])]), (28 * 2 + 128 * 2 + 10, 28 * 2 + 128));
    assert_eq!(side(vec![row("", &[Some((50, 50))])]), (28 * 2 + 150 + 2 * 2, 28 * 2 + 150 + 2 * 2));
    let sheet = Sheet { rows: vec![row("", &[Some((64, 64))])], ..Sheet::default() }.render();
    let red = sheet.pixels().filter(|pixel| **pixel == RED).count();
    assert_eq!(red, 128 * 128);
}

#[test]
fn sheets_take_odd_input() {
    let long = "prompt ".repeat(400) + &"x".repeat(3000);
    for rows in [
        vec![],
        vec![row("", &[])],
        vec![row(&long, &[None]), row("日本語 🍑", &[Some((1, 1)), Some((2000, 3)), Some((0, 5)), None])],
        vec![row("a", &[Some((64, 64))]), row("b", &[Some((700, 900)), Some((513, 1))])],
    ] {
        for title in [None, Some(String::new()), Some(long.clone())] {
            let columns = vec![long.clone(), String::new(), "c".to_owned(), "d".to_owned(), "e".to_owned()];
            let sheet = Sheet { title, columns, rows: rows.clone() }.render();
            assert!(sheet.width() < 4000 && sheet.height() < 4000, "{:?}", sheet.dimensions());
        }
    }
    assert!(Sheet::default().render().width() > 0);
}

#[test]
fn curves_take_odd_input() {
    let nan = [(1, f64::NAN), (2, f64::INFINITY), (3, f64::NEG_INFINITY)];
    let wild = [(0, 1e300), (5, -1e29), (9, 1e29), (u32::MAX, 1e-300)];
    let flat: Vec<(u32, f64)> = (0..500).map(|step| (step, 0.25)).collect();
    let lists: [&[(u32, f64)]; 8] = [
        &[],
        &[(0, 0.5)],
        &[(7, 0.0), (7, 0.0)],
        &nan,
        &wild,
        &flat,
        &[(3, -1.0), (1, -2.0)],
        &[(1, 1e-12), (2, 2e-12)],
    ];
    for train in lists {
        for eval in lists {
            assert_eq!(loss_curve(&"title ".repeat(60), train, eval).dimensions(), (1200, 760));
        }
    }
    let ink = |picture: RgbImage| picture.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
    assert!(ink(loss_curve("", &flat, &flat)) > ink(loss_curve("", &[], &[])));
}
