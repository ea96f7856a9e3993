//! Damage in a JPEG's data is found; what cameras write beside the standard is not taken for it.

use image::RgbImage;
use pseudoword::image::Picture;

use crate::jpeg::{Colours, Jpeg, Scan};
use crate::made::*;

fn photo() -> Jpeg {
    Jpeg { quantum: 8, ..Jpeg::new(Colours::Ycc, &[(2, 2), (1, 1), (1, 1)]) }
}

/// Progressive, as programs for the web write it.
fn progressive() -> Jpeg {
    let ac = |part: usize, bits| Scan::part(&[part], (1, 63), bits);
    let mut scans = vec![Scan::part(&[0, 1, 2], (0, 0), (0, 1))];
    scans.extend([ac(0, (0, 2)), ac(2, (0, 1)), ac(1, (0, 1)), ac(0, (2, 1))]);
    scans.push(Scan::part(&[0, 1, 2], (0, 0), (1, 0)));
    scans.extend([ac(2, (1, 0)), ac(1, (1, 0)), ac(0, (1, 0))]);
    Jpeg { process: 2, scans, ..photo() }
}

/// Where the data of the first scan begins.
fn data(file: &[u8]) -> usize {
    let scan = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    scan + 2 + usize::from(u16::from_be_bytes([file[scan + 2], file[scan + 3]]))
}

/// Which share of the pixels is not what it was.
fn lost(picture: &RgbImage, whole: &RgbImage) -> f64 {
    assert_eq!(picture.dimensions(), whole.dimensions());
    let differ = picture
        .pixels()
        .zip(whole.pixels())
        .filter(|(one, other)| one.0.iter().zip(other.0).any(|(one, other)| one.abs_diff(other) > 16));
    differ.count() as f64 / f64::from(whole.width() * whole.height())
}

#[test]
fn no_damaged_block_passes_in_silence() {
    let scene = scene(640, 480);
    let kinds = [
        ("4:2:0", photo()),
        ("4:4:4", Jpeg { sampling: vec![(1, 1); 3], quantum: 5, ..photo() }),
        ("restarts", Jpeg { restart: 40, ..photo() }),
        ("progressive", progressive()),
    ];
    let mut state = 15u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut refused, mut warned) = (0, 0);
    for (kind, jpeg) in kinds {
        let file = jpeg.encode(&scene);
        let whole = Picture::decode("whole", &file).unwrap();
        assert_eq!(whole.doubt, None, "{kind}");
        let (first, last) = (data(&file), file.len() - 2);
        for round in 0..50 {
            let size = 16 << random(9);
            let at = first + random(last - size - first);
            let mut bad = file.clone();
            match round % 3 {
                0 => bad[at..at + size].iter_mut().for_each(|byte| *byte = random(256) as u8),
                1 => bad[at..at + size].fill([0, 0xff, 0x55][random(3)]),
                _ => bad.copy_within(first..first + size, at),
            }
            match Picture::decode("bad", &bad) {
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("damaged"), "{kind}, {size} bytes at {at}: {error}");
                }
                Ok(mut picture) => {
                    let lost = lost(&picture.pixels, &whole.pixels);
                    let warning = picture.take_warning();
                    warned += usize::from(warning.is_some());
                    assert!(lost <= 0.02 || warning.is_some(), "{kind}, {size} bytes at {at}: {lost} is lost");
                }
            }
        }
    }
    assert!(refused > 150 && warned > 0, "{refused} refused, {warned} warned of");
}

#[test]
fn damage_is_refused_with_how_much_is_lost() {
    let scene = scene(320, 240);
    for jpeg in [photo(), Jpeg { restart: 20, ..photo() }, progressive()] {
        let file = jpeg.encode(&scene);
        let first = data(&file);
        for (instead, length) in [(0x9f, 1), (0xff, 500), (0xd3, 1)] {
            let mut bad = file.clone();
            let at = first + 600;
            bad[at..at + 1 + length].fill(instead);
            bad[at] = 0xff;
            let reason = refusal(&bad);
            assert!(reason.contains("damaged") && reason.contains("again"), "{instead:x}: {reason}");
        }
    }
    let mut bad = photo().encode(&scene);
    let at = data(&bad) + 600;
    bad[at..at + 3].copy_from_slice(&[0xff, 0xd9, 0xff]);
    let reason = refusal(&bad);
    assert!(reason.contains(" % of the picture is lost, from about "), "{reason}");
}

#[test]
fn what_a_late_scan_loses_is_called_detail() {
    let scene = scene(320, 240);
    let file = progressive().encode(&scene);
    let last = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    // The end mark in the midst of the last scan, which holds one bit of each coefficient; a code that makes no sense.
    let cut = [&file[..(last + file.len()) / 2], &[0xff, 0xd9]].concat();
    let second = data(&file) + file[data(&file)..].windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let mut broken = file.clone();
    broken[second + 100..second + 108].fill(0xff);
    for bad in [cut, broken] {
        let reason = refusal(&bad);
        assert!(reason.contains("so detail is lost from ") && !reason.contains("of the picture is lost"), "{reason}");
    }
    // Without the levels of blocks, though, there is no picture.
    let mut bad = file.clone();
    let at = data(&file) + 300;
    bad[at..at + 8].fill(0xff);
    assert!(refusal(&bad).contains(" of the picture is lost, from "));
}

#[test]
fn a_restart_marker_with_a_wrong_number_takes_no_area_with_it() {
    let file = Jpeg { restart: 20, ..photo() }.encode(&scene(320, 240));
    let marker = file.windows(2).position(|pair| pair == [0xff, 0xd2]).unwrap();
    let mut bad = file.clone();
    bad[marker + 1] = 0xd6;
    let reason = refusal(&bad);
    assert!(reason.contains("a restart marker in its data has the wrong number") && !reason.contains('%'), "{reason}");
    // Where an interval is gone, all behind it is in the wrong place.
    let next = file.windows(2).position(|pair| pair == [0xff, 0xd3]).unwrap();
    let reason = refusal(&[&file[..marker], &file[next..]].concat());
    assert!(reason.contains(" of the picture is lost, from "), "{reason}");
}

#[test]
fn scans_that_are_missing_are_noticed_in_every_component() {
    let scene = scene(96, 64);
    let levels = Scan::part(&[0, 1, 2], (0, 0), (0, 0));
    let detail = |part: usize, first, last| Scan::part(&[part], (first, last), (0, 0));
    let all = [levels, detail(0, 1, 5), detail(1, 1, 63), detail(2, 1, 63), detail(0, 6, 63)];
    for (missing, says) in [
        (&[][..], None),
        (&[2, 3], Some("its colours lack detail")),
        (&[3], Some("its colours lack detail")),
        (&[4], Some("all of it lacks detail")),
        (&[1, 4], Some("all of it lacks detail")),
        (&[1, 2, 3, 4], Some("all of it lacks detail")),
    ] {
        let scans = (0..all.len()).filter(|at| !missing.contains(at)).map(|at| all[at].clone()).collect();
        let doubt = Picture::decode("x", &Jpeg { process: 2, scans, ..photo() }.encode(&scene)).unwrap().doubt;
        match says {
            Some(says) => assert!(doubt.as_ref().is_some_and(|doubt| doubt.contains(says)), "{missing:?}: {doubt:?}"),
            None => assert_eq!(doubt, None),
        }
    }
}

#[test]
fn the_level_of_all_that_follows_is_looked_at() {
    let scene = scene(640, 480);
    let shifted = |rows: std::ops::Range<u32>, by: u8| {
        let mut scene = scene.clone();
        for (x, y, pixel) in scene.enumerate_pixels_mut() {
            // From the eleventh MCU of a row on.
            let at = y / 16 * 40 + x / 16;
            if rows.contains(&at) {
                pixel.0 = pixel.0.map(|value| value.saturating_add(by));
            }
        }
        Picture::decode("x", &photo().encode(&scene)).unwrap().doubt
    };
    for from in [51, 411, 798] {
        let doubt = shifted(from..1200, 20).unwrap_or_default();
        // Two MCUs at the end of a row are not told from none.
        let how = if from == 798 { "along a straight edge" } else { "in the middle of a row" };
        assert!(doubt.contains(&format!("brightness jumps {how}")), "{from}: {doubt}");
    }
    // Levels that are off from the beginning of a row look like something laid over the picture.
    let doubt = shifted(400..1200, 20).unwrap_or_default();
    assert!(doubt.contains("a straight edge across the whole width, at about 33 % of its height; if that"), "{doubt}");
    // So does the bar behind a caption, of which nothing else may be said.
    let bar = RgbImage::from_fn(640, 480, |x, y| {
        let pixel = scene.get_pixel(x, y);
        if y < 304 { *pixel } else { image::Rgb(pixel.0.map(|value| (f64::from(value) * 0.85) as u8)) }
    });
    let doubt = Picture::decode("x", &photo().encode(&bar)).unwrap().doubt.unwrap_or_default();
    assert!(!doubt.contains("middle of a row"), "{doubt}");
    assert_eq!(shifted(0..0, 0), None);
    assert_eq!(shifted(411..419, 60), None);
    // Another picture under this one, at the edge of a row of MCUs.
    let below = |x: u32, y: u32| if y < 160 { *scene.get_pixel(x, y) } else { *scene.get_pixel(639 - x, 639 - y) };
    let stacked = RgbImage::from_fn(640, 480, below);
    assert_eq!(Picture::decode("x", &photo().encode(&stacked)).unwrap().doubt, None);
}

#[test]
fn a_hole_in_the_data_is_not_taken_for_a_picture() {
    // Now and then the number of blocks comes out right.
    let file = photo().encode(&scene(640, 480));
    let whole = Picture::decode("whole", &file).unwrap();
    let (first, last) = (data(&file), file.len() - 2);
    for at in (first..last - 64).step_by((last - first) / 97) {
        for byte in [0, 0x55] {
            let mut bad = file.clone();
            bad[at..at + 64].fill(byte);
            let Ok(picture) = Picture::decode("bad", &bad) else { continue };
            let lost = lost(&picture.pixels, &whole.pixels);
            assert!(lost <= 0.02 || picture.doubt.is_some(), "{byte:x} at {at}: {lost}");
        }
    }
    // A flat picture is the same byte again and again, and a good file.
    for shade in [0, 77, 255] {
        let flat = RgbImage::from_pixel(320, 240, image::Rgb([shade, shade, 99]));
        assert_eq!(Picture::decode("flat", &photo().encode(&flat)).unwrap().doubt, None);
    }
}

#[test]
fn what_programs_write_beside_the_standard_is_read() {
    let scene = scene(96, 64);
    let good = Picture::decode("good", &photo().encode(&scene)).unwrap();
    let same = |what: &str, file: &[u8]| {
        let picture = Picture::decode(what, file).unwrap();
        assert_eq!((picture.pixels == good.pixels, picture.doubt), (true, None), "{what}");
    };
    let file = photo().encode(&scene);
    same("fill bytes", &Jpeg { fill: 3, ..photo() }.encode(&scene));
    same("restarts with fill bytes", &Jpeg { fill: 2, restart: 2, ..photo() }.encode(&scene));
    let (body, end) = file.split_at(file.len() - 2);
    same("zeros behind the data", &[body, &[0; 9], end].concat());
    same("ones behind the data", &[body, &[0xff; 9], end].concat());
    same("a marker behind the last interval", &[&Jpeg { restart: 2, ..photo() }.encode(&scene)[..], &[]].concat());
    let restarted = Jpeg { restart: 6, ..photo() }.encode(&scene);
    let (body, end) = restarted.split_at(restarted.len() - 2);
    same("a marker that nothing follows", &[body, &[0xff, 0xd3], end].concat());
    same("another picture behind it", &[&file[..], &file].concat());
    same("bytes between segments", &[&file[..2], &[0, 1, 2], &file[2..]].concat());
    same("a second block of EXIF", &[&file[..2], &[0xff, 0xe1, 0, 8], b"Exif\0\0", &file[2..]].concat());

    let spare = Picture::decode("spare", &[body, &[1, 2, 3], end].concat()).unwrap();
    assert!(spare.pixels == good.pixels && spare.doubt.unwrap().contains("3 bytes of its data were not needed"));
}

#[test]
fn rare_variants_are_named_as_such() {
    let scene = scene(48, 32);
    let file = photo().encode(&scene);
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let with = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[frame + at] = byte;
        file
    };
    for (file, word) in [
        (with(1, 0xc3), "lossless"),
        (with(1, 0xc9), "arithmetic"),
        (with(1, 0xca), "arithmetic"),
        (with(1, 0xc5), "hierarchical"),
        (with(1, 0xf7), "JPEG-LS"),
        (with(4, 12), "8 bits"),
        (Jpeg { late_height: true, ..photo() }.encode(&scene), "height"),
    ] {
        let reason = refusal(&file);
        assert!(reason.contains("a rare variant that is not read") && reason.contains(word), "{word}: {reason}");
    }
}
