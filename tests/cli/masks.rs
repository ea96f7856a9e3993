//! Masks: where they are found, what is said of them, and what is refused.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::Value;

use crate::place::{Place, events, refused, succeeded, text, tiny};

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A picture with a pattern of its own, transparent right of a column.
fn picture(shade: u8, seen: u32) -> Vec<u8> {
    let alpha = |x: u32| if x < seen { 255 } else { 0 };
    let period = 5 + u32::from(shade % 8) * 3;
    png(RgbaImage::from_fn(64, 64, |x, y| {
        Rgba([(x * 4) as u8, if (x + y) % period < period / 2 { 200 } else { 20 }, shade, alpha(x)])
    }))
}

/// A mask that is white left of a column.
fn mask(width: u32, height: u32, white: u32) -> Vec<u8> {
    png(GrayImage::from_fn(width, height, |x, _| Luma([if x < white { 255 } else { 0 }])))
}

fn train(place: &Place, pictures: &[&str], more: &[&str]) -> std::process::Output {
    let model = tiny();
    let quick = ["--token", "<p>", "--init", "apple", "--model", &model, "--steps", "1", "--batch-size", "1"];
    let end = ["--resolution", "16", "--preview-every", "0", "--out", "run", "--overwrite"];
    place.run(&[&["train"], pictures, &quick[..], &end, more].concat())
}

/// What a run says of its masks, `[origin, share]` of each picture, and the sentences that it warns with.
fn told(output: &std::process::Output) -> (Vec<(String, f64)>, Vec<String>) {
    succeeded(output);
    let events = events(&output.stdout);
    let field = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let masks = events
        .iter()
        .filter(|event| event["event"] == "masks")
        .flat_map(|event| event["masks"].as_array().unwrap().clone());
    let masks = masks.map(|mask| (field(&mask, "origin"), mask["share"].as_f64().unwrap_or(-1.0)));
    let warnings = events.iter().filter(|event| event["event"] == "warning").map(|event| field(event, "text"));
    (masks.collect(), warnings.collect())
}

#[test]
fn masks_are_found_beside_pictures_in_a_folder_and_in_transparency() {
    let place = Place::new();
    for (name, seen) in [("a.png", 64), ("b.png", 64), ("c.png", 64), ("d.png", 64), ("e.png", 16)] {
        place.file(&format!("photos/{name}"), &picture(name.as_bytes()[0], seen));
    }
    place.file("photos/a.mask.png", &mask(64, 64, 32));
    place.file("photos/B.PNG.mask.png", &mask(128, 128, 32));
    place.file("photos/c-masklabel.png", &mask(64, 64, 48));
    place.file("photos/z.mask.png", &mask(64, 64, 48));
    place.file("masks/d.png", &mask(64, 64, 8));
    let output = train(&place, &["photos"], &["--mask-folder", "masks", "--masks", "given", "--json"]);
    let (masks, warnings) = told(&output);
    let given = |share: f64| ("given".to_owned(), share);
    assert_eq!(masks, [given(0.5), given(0.25), given(0.75), given(0.125), ("transparency".to_owned(), 0.25)]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("the mask z.mask.png belongs to no picture"), "{warnings:?}");
    let prepared: Vec<String> =
        events(&output.stdout).iter().filter_map(|event| event["prepared"].as_str().map(str::to_owned)).collect();
    assert_eq!(prepared.len(), 5);
    assert!(prepared[1].starts_with("mask photos/B.PNG.mask.png, scaled from 128x128, "), "{prepared:?}");
    // All files given one by one, as a shell does it; the settings repeat the run.
    let files = ["a.mask.png", "a.png", "b.png", "c.png"].map(|name| format!("photos/{name}"));
    let (masks, _) = told(&train(&place, &files.each_ref().map(String::as_str), &["--masks", "given", "--json"]));
    assert_eq!(masks, [given(0.5), given(0.25), given(0.75)]);
    let log = std::fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    assert!(log.contains("\"event\":\"masks\""), "{log}");
    let (masks, warnings) = told(&train(&place, &["photos"], &["--masks", "off", "--outside", "0.5", "--json"]));
    assert_eq!((masks.len(), warnings.len()), (0, 1), "{warnings:?}");
    assert!(warnings[0].starts_with("--outside has no effect: no picture has a mask"), "{warnings:?}");
    let refused_number = train(&place, &["photos"], &["--outside", "1.5"]);
    refused(&refused_number, 2, &["--outside 1.5: it must be a number from 0 to 1"]);
}

/// The rows that were learned are others, so masks reach the loss.
#[test]
fn a_mask_changes_what_is_learned_and_a_white_one_does_not() {
    let place = Place::new();
    place.file("photos/a.png", &picture(7, 64));
    let learned = || std::fs::read(place.path("run/learned_embeds.safetensors")).unwrap();
    succeeded(&train(&place, &["photos"], &["--masks", "given"]));
    let without = learned();
    place.file("photos/a.mask.png", &mask(64, 64, 64));
    let (masks, warnings) = told(&train(&place, &["photos"], &["--masks", "given", "--json"]));
    assert!(masks.is_empty() && warnings.iter().any(|text| text.contains("it is white all over")), "{warnings:?}");
    assert!(learned() == without);
    place.file("photos/a.mask.png", &mask(64, 64, 20));
    succeeded(&train(&place, &["photos"], &["--masks", "given"]));
    assert!(learned() != without);
    succeeded(&train(&place, &["photos"], &["--masks", "off"]));
    assert!(learned() == without);
}

/// What is seen of masks that the program finds: a sheet, counts, and names where it is not sure; a given one wins.
#[test]
fn what_the_program_finds_is_said_and_shown() {
    let place = Place::new();
    // The bundled model: it knows what an apple is.
    let train = |place: &Place, pictures: &[&str], more: &[&str]| {
        let quick = ["--token", "<p>", "--init", "apple", "--steps", "1", "--batch-size", "1", "--eval-size", "1"];
        let end = ["--preview-every", "0", "--out", "run", "--overwrite"];
        place.run(&[&["train"], pictures, &quick[..], &end, more].concat())
    };
    let disc = |shade: u8, x: i32, y: i32| {
        let inside = |a: u32, b: u32| (a as i32 - x).pow(2) + (b as i32 - y).pow(2) < 400;
        let grain = |a: u32, b: u32| ((a * 7 + b * 13) % 5) as u8;
        png(RgbImage::from_fn(96, 96, |a, b| {
            Rgb(if inside(a, b) { [shade, 60 + (a % 30) as u8, 30] } else { [90, 120, 230 + grain(a, b)] })
        }))
    };
    for (name, shade, x, y) in [("a.png", 220, 48, 50), ("b.png", 200, 44, 46), ("c.png", 240, 52, 50)] {
        place.file(&format!("photos/{name}"), &disc(shade, x, y));
    }
    place.file("photos/c.mask.png", &mask(96, 96, 48));
    place.file("photos/d.png", &png(RgbImage::from_pixel(96, 96, Rgb([90, 140, 90]))));
    let output = train(&place, &["photos"], &["--masks", "auto", "--json"]);
    let (masks, warnings) = told(&output);
    let origins: Vec<&str> = masks.iter().map(|(origin, _)| origin.as_str()).collect();
    assert_eq!(origins, ["found", "found", "given", "unsure"]);
    let disc = 400.0 * std::f64::consts::PI / (96.0 * 96.0);
    assert!((masks[0].1 / disc - 1.0).abs() < 0.2, "{masks:?}, a disc is {disc}");
    let unsure: Vec<&String> = warnings.iter().filter(|text| text.contains("it is not sure")).collect();
    assert_eq!(unsure.len(), 1, "{warnings:?}");
    assert!(unsure[0].contains("photos/d.png") && unsure[0].contains("photos/d.mask.png"), "{unsure:?}");
    assert!(place.path("run/masks.png").exists());
    let spoken = train(&place, &["photos"], &["--masks", "auto", "--dry-run"]);
    succeeded(&spoken);
    let said = text(&spoken.stderr);
    assert!(said.contains("masks of 4 pictures: 1 given, 3 without; what is outside counts 0.1"), "{said}");
    // Neither without masks nor of a style is there a sheet, and none is left.
    let (masks, warnings) = told(&train(&place, &["photos"], &["--kind", "style", "--masks", "auto", "--json"]));
    assert_eq!(masks.iter().filter(|(origin, _)| origin == "none").count(), 3);
    assert!(warnings.iter().any(|text| text.starts_with("--masks auto has no effect: a style")), "{warnings:?}");
    succeeded(&train(&place, &["photos"], &["--masks", "off"]));
    assert!(!place.path("run/masks.png").exists());
}

#[test]
fn masks_that_cannot_be_meant_are_refused_in_words() {
    let place = Place::new();
    place.file("photos/a.png", &picture(7, 64));
    let refusal = |parts: &[&str], status| refused(&train(&place, &["photos"], &["--masks", "given"]), status, parts);
    place.file("photos/a.mask.png", &mask(64, 64, 0));
    refusal(&["photos/a.mask.png: this mask is black all over"], 3);
    place.file("photos/a.mask.png", &mask(64, 32, 20));
    refusal(&["this mask is 64x32, and its picture photos/a.png is 64x64"], 3);
    place.file("photos/a-masklabel.png", &mask(64, 64, 20));
    refusal(&["photos/a.png has two masks, photos/a-masklabel.png and photos/a.mask.png: remove one"], 2);
    std::fs::remove_file(place.path("photos/a.png")).unwrap();
    refusal(&["no pictures in photos", "a-masklabel.png is a mask, by its name"], 3);
    place.file("clear/a.png", &picture(7, 0));
    refused(&train(&place, &["clear"], &[]), 3, &["clear/a.png: it is wholly transparent"]);
    place.file("plain/a.png", &picture(7, 64));
    let twice = train(&place, &["plain"], &["--mask-folder", "plain"]);
    refused(&twice, 2, &["the folder of masks, plain, has the picture plain/a.png in it"]);
    let nowhere = train(&place, &["plain"], &["--mask-folder", "nowhere"]);
    refused(&nowhere, 7, &["cannot read nowhere"]);
    let idle = train(&place, &["plain"], &["--mask-folder", "nowhere", "--masks", "off", "--json"]);
    assert!(text(&idle.stdout).contains("--mask-folder has no effect: --masks is off"));
}
