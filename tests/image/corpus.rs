//! Every kind of PNG, JPEG and WebP that code can make, beside another decoder. A file may be refused, but it is never
//! decoded to something else in silence.

use image::{ImageFormat, Luma, RgbImage, Rgba, RgbaImage};
use pseudoword::image::Picture;

use crate::jpeg::{Colours, Jpeg, Scan};
use crate::made::*;
use crate::peer::{self, File};
use crate::png_writer::Png;

#[test]
fn every_variant_is_what_another_decoder_makes_of_it() {
    let scene = scene(75, 53);
    let mut files = jpegs(&scene);
    files.extend(pngs(&scene));
    files.push(("scene.png".to_owned(), encode(scene, ImageFormat::Png)));
    let (decoded, made) = peer::decode(&files);
    files.extend(made);
    let kinds = ["jpg", "png", "webp"].map(|ending| files.iter().filter(|(name, _)| name.ends_with(ending)).count());
    assert!(kinds[0] > 400 && kinds[1] > 50 && kinds[2] > 60, "{kinds:?}");

    let mut wrong = Vec::new();
    for (name, bytes) in &files {
        match (Picture::decode(name, bytes), decoded.get(name)) {
            (Ok(picture), Some(other)) => {
                let (most, bound) = (difference(&picture, other), bound(name));
                if most > bound || picture.doubt.is_some() {
                    wrong.push(format!("{name}: differs by {most}, not at most {bound}; {:?}", picture.doubt));
                }
            }
            (Ok(_), None) => wrong.push(format!("{name}: only the other decoder refuses it")),
            (Err(error), other) if !name.contains("3x1") || !error.to_string().contains("a rare variant") => {
                wrong.push(format!("{name}: {error}, the other reads it: {}", other.is_some()));
            }
            (Err(_), _) => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// How much two right decoders may differ, in levels of 255.
fn bound(name: &str) -> u8 {
    if name.ends_with(".jpg") {
        // The standard allows a sample to be off by one after the inverse transform (T.83), here in each of three or four
        // components and again where colour is interpolated; blue counts its colour 1.77 times.
        4
    } else if name.contains("-16") {
        // Pillow cuts off the lower byte, where we round.
        1
    } else if name.ends_with(".webp") && !name.contains("lossless") && !name.contains("True") {
        // libwebp converts colours in fixed point with one rounding fewer.
        2
    } else {
        0
    }
}

/// The largest difference, of colours wherever they are seen and of transparency.
fn difference(picture: &Picture, other: &RgbaImage) -> u8 {
    assert_eq!(picture.pixels.dimensions(), other.dimensions(), "{}", picture.name);
    let differ = |(x, y, Rgba([r, g, b, alpha])): (u32, u32, &Rgba<u8>)| {
        let Luma([ours]) = picture.alpha.as_ref().map_or(Luma([255]), |alpha| *alpha.get_pixel(x, y));
        let pixel = picture.pixels.get_pixel(x, y);
        let colours = [(pixel[0], r), (pixel[1], g), (pixel[2], b)].map(|(one, other)| one.abs_diff(*other));
        let most = if *alpha == 0 { 0 } else { colours.into_iter().max().unwrap() };
        most.max(ours.abs_diff(*alpha))
    };
    other.enumerate_pixels().map(differ).max().unwrap()
}

/// What of each component is in which scan: all ways that differ for a decoder.
fn scripts(count: usize) -> Vec<(&'static str, u8, Vec<Scan>)> {
    let all: Vec<usize> = (0..count).collect();
    let each = |of: &dyn Fn(usize) -> Vec<Scan>| -> Vec<Scan> { all.iter().flat_map(|&part| of(part)).collect() };
    let whole = Scan::whole;
    let dc = |parts: &[usize], bits| Scan::part(parts, (0, 0), bits);
    let ac = |part, spectrum, bits| Scan::part(&[part], spectrum, bits);
    let mut scripts = vec![("one", 0, vec![whole(&all)]), ("extended", 1, vec![whole(&all)])];
    if count > 1 {
        let reverse: Vec<Scan> = all.iter().rev().map(|&part| whole(&[part])).collect();
        scripts.extend([
            ("each", 0, each(&|part| vec![whole(&[part])])),
            ("reverse", 0, reverse),
            ("first-apart", 0, vec![whole(&all[..1]), whole(&all[1..])]),
            ("first-last", 0, vec![whole(&all[1..]), whole(&all[..1])]),
            ("last-apart", 0, vec![whole(&all[..count - 1]), whole(&all[count - 1..])]),
        ]);
    }
    let bands = |part| vec![ac(part, (1, 5), (0, 0)), ac(part, (6, 63), (0, 0))];
    let halves = |part| vec![ac(part, (1, 5), (0, 2)), ac(part, (6, 63), (0, 2)), ac(part, (1, 63), (2, 1))];
    let full =
        [vec![dc(&all, (0, 1))], each(&halves), vec![dc(&all, (1, 0))], each(&|part| vec![ac(part, (1, 63), (1, 0))])];
    let colour_first = all.iter().rev().flat_map(|&part| [dc(&[part], (0, 0)), ac(part, (1, 63), (0, 0))]).collect();
    let apart = [
        each(&|part| vec![dc(&[part], (0, 0))]),
        each(&|part| vec![ac(part, (1, 63), (0, 1)), ac(part, (1, 63), (1, 0))]),
    ];
    scripts.extend([
        ("progressive", 2, [vec![dc(&all, (0, 0))], each(&bands)].concat()),
        ("progressive-full", 2, full.concat()),
        ("progressive-apart", 2, apart.concat()),
        ("progressive-reverse", 2, colour_first),
    ]);
    scripts
}

/// All colours and samplings in all scripts, with and without restarts.
fn jpegs(scene: &RgbImage) -> Vec<File> {
    let simple = |sides: &[(usize, usize)], count: usize| -> Vec<Vec<(usize, usize)>> {
        sides.iter().map(|&side| [vec![side], vec![(1, 1); count - 1]].concat()).collect()
    };
    let mut ycc = simple(&[(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3)], 3);
    ycc.extend([
        vec![(2, 2), (2, 1), (2, 1)],
        vec![(2, 2), (1, 2), (1, 2)],
        vec![(2, 2), (2, 1), (1, 2)],
        vec![(1, 1), (2, 2), (2, 2)],
        vec![(2, 2), (1, 1), (2, 2)],
        vec![(2, 1), (1, 2), (1, 2)],
        vec![(1, 2), (2, 1), (2, 1)],
        vec![(2, 1), (2, 1), (1, 1)],
        vec![(3, 1), (2, 1), (1, 1)],
    ]);
    let black = vec![(2, 2), (1, 1), (1, 1), (2, 2)];
    let kinds = [
        (Colours::Grey, vec![vec![(1, 1)], vec![(2, 2)], vec![(2, 1)]]),
        (Colours::Ycc, ycc),
        (Colours::BareYcc, simple(&[(1, 1), (2, 2)], 3)),
        (Colours::AdobeYcc, simple(&[(1, 1), (2, 2)], 3)),
        (Colours::AdobeRgb, simple(&[(1, 1), (2, 2)], 3)),
        (Colours::NamedRgb, simple(&[(1, 1), (2, 1)], 3)),
        (Colours::Cmyk, vec![vec![(1, 1); 4], black.clone()]),
        (Colours::Ycck, vec![vec![(1, 1); 4], black]),
        (Colours::BareCmyk, vec![vec![(1, 1); 4]]),
    ];
    let mut files = Vec::new();
    for (colours, samplings) in kinds {
        for sampling in samplings {
            for (script, process, scans) in scripts(sampling.len()) {
                for restart in [0, 3] {
                    let size = |&part: &usize| sampling[part].0 * sampling[part].1;
                    let blocks = |scan: &Scan| scan.components.iter().map(size).sum::<usize>();
                    if scans.iter().any(|scan| scan.components.len() > 1 && blocks(scan) > 10) {
                        continue; // more than an MCU may have
                    }
                    let factors: Vec<String> = sampling.iter().map(|(h, v)| format!("{h}x{v}")).collect();
                    let name = format!("{colours:?}-{}-{script}-{restart}.jpg", factors.join("-"));
                    let jpeg = Jpeg { scans: scans.clone(), process, restart, ..Jpeg::new(colours, &sampling) };
                    files.push((name, jpeg.encode(scene)));
                }
            }
        }
    }
    for (name, quantum) in [("fine", 1), ("coarse", 40), ("wide", 300)] {
        let jpeg =
            Jpeg { quantum, process: u8::from(quantum > 255), ..Jpeg::new(Colours::Ycc, &[(2, 2), (1, 1), (1, 1)]) };
        files.push((format!("quanta-{name}.jpg"), jpeg.encode(scene)));
    }
    files
}

fn pngs(scene: &RgbImage) -> Vec<File> {
    let mut files = Vec::new();
    let kinds = [(0, &[1, 2, 4, 8, 16][..]), (2, &[8, 16]), (3, &[1, 2, 4, 8]), (4, &[8, 16]), (6, &[8, 16])];
    for (colour, depths) in kinds {
        for &depth in depths {
            for interlaced in [false, true] {
                // Pillow does not find a transparent grey of fewer than eight bits; `decode.rs` has one.
                let may_be_clear = colour < 4 && (colour > 0 || depth >= 8);
                for transparent in if may_be_clear { vec![false, true] } else { vec![false] } {
                    let name = format!("png-{colour}-{depth}-{interlaced}-{transparent}.png");
                    files.push((name, Png { interlaced, transparent, ..Png::new(colour, depth) }.encode(scene)));
                }
            }
        }
    }
    for filter in 0..5 {
        files.push((format!("png-filter-{filter}.png"), Png { filter, ..Png::new(6, 8) }.encode(scene)));
    }
    for piece in [1, 100] {
        files.push((format!("png-pieces-{piece}.png"), Png { piece, ..Png::new(2, 8) }.encode(scene)));
    }
    let chunks: [(&str, &[u8; 4], &[u8]); 5] = [
        ("gamma", b"gAMA", &[0, 0, 0xb1, 0x8f]),
        ("linear", b"gAMA", &[0, 1, 0x86, 0xa0]),
        ("significant", b"sBIT", &[5, 6, 5]),
        ("background", b"bKGD", &[0, 1, 0, 2, 0, 3]),
        ("text", b"tEXt", b"Comment\0nothing"),
    ];
    for (name, kind, body) in chunks {
        let png = Png { chunks: vec![png_chunk(kind, body)], ..Png::new(2, 8) };
        files.push((format!("png-with-{name}.png"), png.encode(scene)));
    }
    files
}
