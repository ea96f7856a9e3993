//! What `train` leaves behind.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use pseudoword::config::{Masks, TrainConfig};
use pseudoword::event::Event;
use pseudoword::image::{Picture, read_text};
use pseudoword::session::Session;
use pseudoword::source::Folder;
use pseudoword::train::{TrainInput, TrainPicture};

use crate::place::{Place, bits, events, peach, read_word, refused, succeeded, text, tiny};

#[test]
fn a_run_leaves_the_word_that_the_library_learns_bit_for_bit() {
    let place = Place::new();
    let output = place.run_train(&["--captions", "off", "--masks", "auto"]);
    succeeded(&output);
    let path = place.path("run/learned_embeds.safetensors");
    assert_eq!(text(&output.stdout), "run/learned_embeds.safetensors\n");
    let word = read_word(&path);
    assert_eq!(word.to_safetensors(), fs::read(&path).unwrap());
    for (key, value) in
        [("init", "apple"), ("steps", "3"), ("recipe", "adamw"), ("seed", "0"), ("base-model", "tiny-sd1")]
    {
        assert_eq!(word.metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
    let header = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(header.contains(r#""format":"pt""#) && header.contains(r#""<p>":{"#), "{header}");

    let names = ["3d", "flat", "noto", "twemoji"].map(|name| format!("{}/{name}.png", peach()));
    let pictures = names.iter().map(|name| {
        let picture = Picture::decode(name, &fs::read(name).unwrap()).unwrap();
        TrainPicture { picture, caption: None, mask: None }
    });
    let input = TrainInput { pictures: pictures.collect(), ..TrainInput::default() };
    let config = TrainConfig {
        token: "<p>".into(),
        init: Some("apple".into()),
        steps: Some(3),
        batch_size: Some(1),
        masks: Some(Masks::Auto),
        ..quiet_config()
    };
    let rows = pollster::block_on(async {
        let source = Rc::new(Folder::new(tiny()));
        let session = Session::open(source, &pseudoword::gpu::cpu(), &mut |_| ()).await.unwrap();
        let mut job = session.train(&config, input).unwrap();
        let mut masks = 0;
        while let Some(event) = job.next().await.unwrap() {
            masks += if let Event::Masks { masks, .. } = event { masks.len() } else { 0 };
        }
        assert_eq!(masks, 4, "pictures of which something was said");
        job.embedding().rows().to_vec()
    });
    assert_eq!(bits(word.rows()), bits(&rows));

    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let log = events(log.as_bytes());
    assert!(log.iter().all(|entry| entry["elapsed"].is_number()));
    assert_eq!(log.iter().filter(|entry| entry["event"] == "step").count(), 3);
    assert!(place.path("run/loss.png").exists());
}

fn quiet_config() -> TrainConfig {
    TrainConfig { eval_size: 2, preview_every: 0, ..TrainConfig::default() }
}

#[test]
fn the_model_in_the_program_learns_from_real_pictures() {
    let place = Place::new();
    let more = ["--model", "mini", "--steps", "2", "--preview-every", "2", "--preview-steps", "3", "--json"];
    let output = place.run_train(&more);
    succeeded(&output);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let events = events(&output.stdout);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    for name in ["device", "load", "encode", "plan", "evaluation", "preview", "first-gradient", "step", "saved"] {
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    assert!(!names.contains(&"warning"), "captions are used, as is recommended");
    let first = |wanted: &str| names.iter().position(|name| *name == wanted).unwrap();
    assert!(
        first("plan") < first("preview") && first("preview") < first("encode"),
        "nobody waits for pictures: {names:?}"
    );
    assert!(first("encode") < first("evaluation"), "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "denoise").count(), 2 * 3, "two previews of three steps");
    assert_eq!(names.last(), Some(&"done"));
    let last = events.iter().rfind(|event| event["event"] == "evaluation").unwrap();
    assert!(last["loss"].as_f64().unwrap() < 1.0, "{last}");
    assert_eq!(read_word(&place.path("run/learned_embeds.safetensors")).width(), 128);
    let preview = fs::read(place.path("run/previews/step-000002.png")).unwrap();
    let about = read_text(&preview).unwrap();
    assert!(about.contains(&("prompt".into(), "a photo of a <p>".into())), "{about:?}");
    assert!(about.contains(&("training step".into(), "2".into())), "{about:?}");
    assert!(about.iter().any(|(_, value)| value.contains("Steps: 3, Sampler: DPM++ 2M")), "{about:?}");
    assert!(place.path("run/previews.png").exists());
}

#[test]
fn captions_are_used_if_all_pictures_have_one() {
    let place = Place::new();
    let picture = fs::read(format!("{}/flat.png", peach())).unwrap();
    let mut other = picture.clone();
    other.extend(b"not quite the same file");
    place.file("pictures/a.png", &picture);
    place.file("pictures/b.png", &other);
    place.file("pictures/a.txt", b"one <p> here");
    let train = |more: &[&str]| {
        let model = tiny();
        let start = ["train", "pictures", "--token", "<p>", "--model", &model, "--steps", "1", "--batch-size", "2"];
        let end = ["--preview-every", "0", "--record", "choices", "--out", "run", "--overwrite"];
        place.run(&[&start[..], &end[..], more].concat())
    };
    let output = train(&[]);
    succeeded(&output);
    assert!(text(&output.stderr).contains("only 1 of 2 pictures have captions"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("only 2 pictures: with 3 to 5"), "{}", text(&output.stderr));
    refused(&train(&["--captions", "on"]), 2, &["b.png has no caption", "b.txt"]);
    let mut file = fs::File::create(place.path("pictures/b.txt")).unwrap();
    file.write_all(b"another {} there").unwrap();
    succeeded(&train(&[]));
    let choices = fs::read(place.path("choices")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&choices).unwrap();
    let captions = header.metadata().as_ref().unwrap()["captions"].clone();
    assert!(captions.contains("one <p> here") || captions.contains("another <p> there"), "{captions}");
    place.file("pictures/b.txt", b"no place for it");
    refused(&train(&[]), 3, &["b.txt", "nor {}", "--captions off"]);
}

#[test]
fn what_was_recorded_is_replayed_bit_for_bit() {
    let place = Place::new();
    succeeded(&place.run_train(&["--record", "choices.safetensors", "--batch-size", "2"]));
    refused(
        &place.run_train(&["--record", "choices.safetensors", "--out", "other"]),
        2,
        &["choices.safetensors exists"],
    );
    // Another seed, which nothing may depend on any more, and no pictures.
    let model = tiny();
    let again = ["train", "--token", "<p>", "--init", "apple", "--model", &model, "--replay", "choices.safetensors"];
    let settings = ["--steps", "3", "--batch-size", "2", "--preview-every", "0", "--seed", "9", "--out", "again"];
    succeeded(&place.run(&[&again[..], &settings[..]].concat()));
    let [first, second] = ["run", "again"].map(|run| read_word(&place.path(run).join("learned_embeds.safetensors")));
    assert_eq!(bits(first.rows()), bits(second.rows()));
    // A dry run tries no more steps than there are.
    succeeded(&place.run_train(&["--record", "one", "--steps", "1", "--out", "short"]));
    let output = place.run_train(&["--replay", "one", "--steps", "1", "--dry-run", "--json", "--out", "dry"]);
    succeeded(&output);
    let tried = events(&output.stdout).pop().unwrap();
    assert_eq!((&tried["event"], &tried["steps"]), (&"dry-run".into(), &1.into()));
    assert!(tried["step_s"].as_f64().unwrap() > 0.0, "{tried}");
}

#[test]
fn a_run_that_goes_wrong_numerically_ends_with_the_last_good_vector() {
    let place = Place::new();
    let constant = ["--lr-schedule", "constant"];
    succeeded(&place.run_train(&[&["--record", "good", "--steps", "8"], &constant[..]].concat()));
    // The same choices, with noise that is none from the second step on.
    let bytes = fs::read(place.path("good")).unwrap();
    let (size, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let (from, to) = header.info("noise").unwrap().data_offsets;
    let mut poisoned = bytes.clone();
    let data = 8 + size;
    for value in poisoned[data + from + (to - from) / 8..data + to].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    place.file("poisoned", &poisoned);
    let replay = |file: &str, steps: &str, out: &str| {
        place.run_train(&[&["--replay", file, "--steps", steps, "--out", out], &constant[..]].concat())
    };
    let output = replay("poisoned", "8", "bad");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    for part in
        ["step 2 was skipped", "training stopped at step 6", "lower learning rate", "bad/learned_embeds.safetensors"]
    {
        assert!(text(&output.stderr).contains(part), "{part}: {}", text(&output.stderr));
    }
    succeeded(&replay("good", "1", "one"));
    let [bad, one] = ["bad", "one"].map(|run| read_word(&place.path(run).join("learned_embeds.safetensors")));
    assert_eq!(bits(bad.rows()), bits(one.rows()));
}

#[test]
fn a_word_goes_on_from_a_file_whatever_the_files_name_spells() {
    let place = Place::new();
    succeeded(&place.run_train(&["--captions", "off", "--masks", "auto"]));
    // A path is many tokens long: it is no phrase.
    let first = place.path("run/learned_embeds.safetensors").display().to_string();
    fs::rename(place.path("run"), place.path("a long name of many words")).unwrap();
    let first = first.replace("/run/", "/a long name of many words/");
    let output = place.run_train(&["--captions", "off", "--init", &first, "--steps", "1", "--lr", "1e-12"]);
    succeeded(&output);
    let (old, new) = (read_word(Path::new(&first)), read_word(&place.path("run/learned_embeds.safetensors")));
    assert_eq!(bits(old.rows()), bits(new.rows()), "at such a rate nothing moves");
}
