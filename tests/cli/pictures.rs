//! Pictures and captions as they lie in folders: what is used, what is refused, and what is said of the rest.

use std::fs;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use crate::jpeg::{Colours, Jpeg, Scan};
use crate::place::{Place, events, refused, succeeded, text, tiny};

/// A picture that is another for each shade.
fn drawn(shade: u8) -> RgbImage {
    let period = 40 + 7 * u32::from(shade % 16);
    RgbImage::from_fn(320, 240, |x, y| {
        Rgb([(x / 2) as u8, (x * y / 300) as u8, if x % period < 20 { shade } else { 255 }])
    })
}

fn png(shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(drawn(shade)).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// One step on what lies at these places.
fn train(place: &Place, pictures: &[&str], more: &[&str]) -> std::process::Output {
    let model = tiny();
    let quick = ["--token", "<p>", "--init", "apple", "--model", &model, "--steps", "1", "--batch-size", "1"];
    let end = ["--resolution", "16", "--preview-every", "0", "--out", "run", "--overwrite", "--masks", "given"];
    place.run(&[&["train"], pictures, &quick[..], &end, more].concat())
}

/// The warnings of a step on what lies at this place, code and sentence.
fn warnings(place: &Place, pictures: &str) -> Vec<(String, String)> {
    let output = train(place, &[pictures], &["--json"]);
    succeeded(&output);
    let field = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let warning = |event: &serde_json::Value| (field(event, "code"), field(event, "text"));
    events(&output.stdout).iter().filter(|event| event["event"] == "warning").map(warning).collect()
}

#[test]
fn damaged_jpegs_are_refused_and_rare_ones_named() {
    let place = Place::new();
    let jpeg = Jpeg::new(Colours::Ycc, &[(2, 2), (1, 1), (1, 1)]);
    let file = jpeg.encode(&drawn(9));
    let mut stray = file.clone();
    let middle = file.len() / 2;
    stray[middle..middle + 2].copy_from_slice(&[0xff, 0x9f]);
    let mut ones = file.clone();
    ones[middle..middle + 300].fill(0xff);
    for (name, bytes) in [("stray.jpg", stray), ("ones.jpg", ones)] {
        place.file(name, &bytes);
        refused(
            &train(&place, &[name], &[]),
            3,
            &[name, "the file is damaged: about ", " of the picture is lost, from about "],
        );
    }
    // What is left over is no proof, and is said.
    place.file("spare.jpg", &[&file[..file.len() - 2], &[1, 2, 3], &file[file.len() - 2..]].concat());
    let said = warnings(&place, "spare.jpg");
    let doubt = said.iter().find(|(code, _)| code == "damaged-picture").expect("a warning");
    assert!(doubt.1.starts_with("spare.jpg may be damaged: 3 bytes of its data were not needed"), "{}", doubt.1);

    let mut lossless = file;
    let frame = lossless.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    lossless[frame + 1] = 0xc3;
    place.file("lossless.jpg", &lossless);
    refused(&train(&place, &["lossless.jpg"], &[]), 3, &["a rare variant that is not read (lossless JPEG)"]);

    let scans = [0, 1, 2].map(|part| Scan::whole(&[part])).to_vec();
    place.file("scans.jpg", &Jpeg { scans, ..jpeg }.encode(&drawn(9)));
    assert!(warnings(&place, "scans.jpg").iter().all(|(code, _)| code == "few-pictures"));
}

#[test]
fn what_a_folder_holds_and_is_not_used_is_named() {
    let place = Place::new();
    for (name, shade) in [("a.png", 1), ("b.JPE", 2), ("c", 3)] {
        place.file(&format!("mixed/{name}"), &png(shade));
    }
    place.file("mixed/10_zubi/1.png", &png(4));
    place.file("mixed/kept/1.png", &png(5));
    place.file("mixed/desktop.ini", b"[.ShellClassInfo]\n");
    place.file("mixed/IMG_7.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    place.file("mixed/list.csv", b"a,b\n");
    place.file("mixed/z.txt", b"a <p> on a hill");
    let said = warnings(&place, "mixed");
    let expected = [
        ("skipped-files", "IMG_7.HEIC cannot be read: this is a HEIC photo; export it as JPEG"),
        ("skipped-files", "the folders mixed/10_zubi and mixed/kept are not read: give them as well"),
        ("skipped-files", "list.csv is not a picture and was skipped"),
        ("unused-captions", "z.txt belongs to no picture"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((code, said), (wanted, part)) in said.iter().zip(expected) {
        assert!(code == wanted && said.starts_with(part), "{code}: {said}");
    }
    // What is kept for comparison is given, too.
    let output = train(&place, &["mixed"], &["--unseen", "mixed/kept", "--json"]);
    succeeded(&output);
    assert!(text(&output.stdout).contains("the folder mixed/10_zubi is not read: give it as well"));
    refused(
        &train(&place, &["."], &[]),
        3,
        &["no pictures in .", "(the folders ./mixed, ./mixed/10_zubi and 1 more are not read: give them as well)"],
    );
}

#[test]
fn captions_are_used_whatever_the_case_and_form_of_their_names() {
    let place = Place::new();
    for (picture, caption) in [("a.png", "a.TXT"), ("b.png", "b.png.txt"), ("c.png", "c.caption")] {
        place.file(&format!("pictures/{picture}"), &png(picture.as_bytes()[0]));
        place.file(&format!("pictures/{caption}"), b"a <p> on a hill");
    }
    let said = warnings(&place, "pictures");
    assert_eq!(said, [], "captions are what is recommended: nothing to be warned of");
    let utf16: Vec<u8> = "a <p> on a hill".encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.file("pictures/b.png.txt", &utf16);
    refused(&train(&place, &["pictures"], &[]), 3, &["b.png.txt", "not UTF-8 text", "save it again as UTF-8"]);
}

#[test]
fn every_note_on_a_picture_is_made_once() {
    let place = Place::new();
    let jpeg = Jpeg::new(Colours::Ycc, &[(1, 1); 3]).encode(&drawn(5));
    let turned = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    fs::write(place.path("turned.jpg"), [&jpeg[..2], turned, &jpeg[2..]].concat()).unwrap();
    let output = train(&place, &["turned.jpg"], &["--json"]);
    succeeded(&output);
    let prepared = events(&output.stdout).iter().find_map(|event| event["prepared"].as_str().map(str::to_owned));
    assert_eq!(prepared.unwrap(), "rotated 90° (EXIF), centre crop 240x240 of 240x320, scaled to 16");
    assert_eq!(text(&output.stderr).matches("rotated").count(), 0);
}
