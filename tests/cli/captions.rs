//! Captions made from pictures: what `captions` writes, and what `train` makes of it.

use std::fs;

use crate::place::{Place, events, peach, refused, succeeded, text};

/// A folder with the example's pictures, without their captions.
fn pictures(place: &Place) {
    for style in ["noto", "flat", "3d", "twemoji"] {
        place.file(&format!("photos/{style}.png"), &fs::read(format!("{}/{style}.png", peach())).unwrap());
    }
}

fn read(place: &Place, name: &str) -> Option<String> {
    fs::read_to_string(place.path(name)).ok()
}

#[test]
fn captions_are_written_beside_the_pictures_and_nothing_is_replaced_unasked() {
    let place = Place::new();
    pictures(&place);
    place.file("photos/flat.txt", b"my {}\n");
    let captions = |more: &[&str]| {
        let run = place.run(&[&["captions", "photos", "--init", "apple"], more].concat());
        succeeded(&run);
        run
    };
    let dry = captions(&["--dry-run"]);
    assert!(text(&dry.stdout).contains("photos/noto.txt: a {}, noto style on a white background"), "{dry:?}");
    assert!(text(&dry.stderr).contains("nothing was written") && read(&place, "photos/noto.txt").is_none());

    let made = captions(&[]);
    assert_eq!(read(&place, "photos/noto.txt").as_deref(), Some("a {}, noto style on a white background\n"));
    assert_eq!(read(&place, "photos/3d.txt").as_deref(), Some("a {}, 3d style on a white background\n"));
    assert_eq!(read(&place, "photos/flat.txt").as_deref(), Some("my {}\n"));
    assert!(text(&made.stdout).contains("flat.txt: kept as it is"), "{}", text(&made.stdout));
    assert!(text(&made.stderr).contains("3 captions were written"), "{}", text(&made.stderr));

    let again = captions(&[]);
    assert!(again.stdout.is_empty() && text(&again.stderr).contains("every picture has a caption"), "{again:?}");
    let all = events(&captions(&["--overwrite", "--token", "<my-peach>", "--json"]).stdout);
    let said: Vec<_> = all.iter().filter(|event| event["event"] == "caption").collect();
    assert_eq!(said.len(), 4, "{all:?}");
    assert!(said.iter().all(|event| event["path"].is_string() && event["parts"].is_array()), "{said:?}");
    assert_eq!(read(&place, "photos/flat.txt").as_deref(), Some("a <my-peach>, flat style on a white background\n"));
}

#[test]
fn what_captions_cannot_do_is_refused() {
    let place = Place::new();
    pictures(&place);
    refused(&place.run(&["captions", "nowhere"]), 7, &["nowhere"]);
    refused(&place.run(&["captions", "photos", "--token", "apple"]), 2, &["apple"]);
    place.file("photos/noto.txt", b"one");
    place.file("photos/noto.png.txt", b"two");
    refused(&place.run(&["captions", "photos"]), 2, &["two captions"]);
}

#[test]
fn a_run_can_make_its_captions_itself_and_says_so() {
    let place = Place::new();
    pictures(&place);
    // They are not read.
    place.file("photos/noto.txt", b"no place for it");
    let start =
        ["train", "photos", "--token", "<p>", "--init", "apple", "--steps", "1", "--batch-size", "1", "--masks", "off"];
    let train = |more: &[&str]| {
        place.run(
            &[&start[..], &["--eval-size", "1", "--preview-every", "0", "--out", "run", "--overwrite"], more].concat(),
        )
    };
    let run = train(&["--captions", "made", "--record", "choices"]);
    succeeded(&run);
    let said = text(&run.stderr);
    assert!(said.contains("caption for photos/noto.png: a {}, noto style on a white background (noto "), "{said}");
    let log = read(&place, "run/log.jsonl").unwrap();
    assert_eq!(log.matches("\"event\":\"caption\"").count(), 4, "{log}");
    let choices = fs::read(place.path("choices")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&choices).unwrap();
    let learned = header.metadata().as_ref().unwrap()["captions"].clone();
    assert!(learned.contains("a <p>, ") && learned.contains(" style on a white background"), "{learned}");
    let replayed = train(&["--captions", "made", "--replay", "choices"]);
    succeeded(&replayed);
    assert!(text(&replayed.stderr).contains("--captions made has no effect"), "{}", text(&replayed.stderr));
}
