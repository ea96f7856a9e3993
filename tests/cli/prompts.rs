//! Prompts, embeddings and options that miss each other: each is said once, as a warning with a code, before the model is
//! loaded; and what a picture says of itself is what it was made with.

use std::fs;

use pseudoword::embedding::Embedding;
use pseudoword::image::read_text;
use serde_json::Value;

use crate::place::{Place, events, mini_f16, peach, refused, succeeded, text, tiny};

/// Width of the tiny model's embeddings.
const WIDTH: usize = 24;

/// Writes an embedding that the tiny model can use.
fn word(place: &Place, file: &str, token: &str) -> String {
    let rows = (0..2 * WIDTH).map(|i| (i % 7) as f32 / 5.0 - 0.6).collect();
    place.file(file, &Embedding::new(token, WIDTH, rows).to_safetensors())
}

/// The codes of the warnings of a `--json` run, all of which come before the weights are loaded, and their sentences.
#[track_caller]
fn warnings(output: &std::process::Output) -> (Vec<String>, String) {
    succeeded(output);
    let events = events(&output.stdout);
    let warned = |event: &&Value| event["event"] == "warning";
    let loaded = events.iter().position(|event| event["event"] == "load").unwrap_or(events.len());
    assert_eq!(events.iter().rposition(|event| warned(&event)).filter(|last| *last > loaded), None, "{events:?}");
    let codes = events.iter().filter(warned).map(|event| event["code"].as_str().unwrap().to_owned()).collect();
    let texts: Vec<&str> = events.iter().filter(warned).map(|event| event["text"].as_str().unwrap()).collect();
    (codes, texts.join("\n"))
}

fn generate(place: &Place, more: &[&str]) -> std::process::Output {
    let model = tiny();
    let common = ["generate", "--model", &model, "--steps", "2", "--out", "out.png", "--overwrite", "--json"];
    place.run(&[&common, more].concat())
}

/// The pixels of the picture that was made.
#[track_caller]
fn pixels(place: &Place, more: &[&str]) -> Vec<u8> {
    succeeded(&generate(place, more));
    image::open(place.path("out.png")).unwrap().into_rgb8().into_raw()
}

#[test]
fn embeddings_and_prompts_that_miss_each_other_are_said() {
    let place = Place::new();
    let plink = word(&place, "plinkpot.safetensors", "plinkPot_v2");
    let said = |more: &[&str]| warnings(&generate(&place, more));
    let (codes, text) = said(&["plinkpots, a toy on a table", "-e", &plink]);
    assert_eq!(codes, ["unused-embedding"], "{text}");
    for part in ["plinkPot_v2", "plinkpot.safetensors", "=plinkpots'"] {
        assert!(text.contains(part), "{text}");
    }
    let (codes, text) = said(&["a <nobody> on a table"]);
    assert_eq!(codes, ["unknown-embedding"], "{text}");
    assert!(text.contains("<nobody>") && text.contains("--embedding"), "{text}");
    let (codes, text) = said(&["a photo of *", "-e", &plink]);
    assert_eq!(codes, ["unused-embedding", "unknown-embedding"], "{text}");
    // In the negative prompt, in one of several prompts, in other letters: used. Ordinary text: not remarked on.
    for used in [
        ["plinkpot_V2, a <3 heart", "a <b>hill</b>, 16:9"],
        ["a toy", "a PLINKPOT_v2"],
        ["a toy", "a hill (in the sun)"],
    ] {
        let (codes, text) = said(&[&used[..], &["-e", &plink, "--negative-prompt", "plinkPot_v2"]].concat());
        assert_eq!(codes, [""; 0], "{text}");
    }
    // What is wrong with several prompts, or the negative one of all, is said once.
    let (codes, text) = said(&["a <nobody>", "my <nobody>", "--negative-prompt", "<blur>", "--guidance", "3"]);
    assert_eq!(codes, ["unknown-embedding", "unknown-embedding"], "{text}");
    let near = word(&place, "near.safetensors", "<my-fox>");
    let (codes, text) = said(&["a <my-fox> and <myfox>", "-e", &near]);
    assert!(codes == ["unknown-embedding"] && text.contains("did you mean \"<my-fox>\"?"), "{text}");
}

#[test]
fn a_words_file_is_its_name_as_in_other_programs() {
    let place = Place::new();
    let file = word(&place, "FileStem.safetensors", "innername");
    let said = |more: &[&str]| warnings(&generate(&place, more));
    let inner = pixels(&place, &["a innername toy", "-e", &file]);
    let texts = ["a FileStem toy", "a filestem toy", "a embedding:FileStem toy", "a embedding:filestem.pt toy"];
    for same in texts {
        assert_eq!(inner, pixels(&place, &[same, "-e", &file]), "{same}");
        let (codes, text) = said(&[same, "-e", &file]);
        assert_eq!(codes, [""; 0], "{text}");
    }
    // Kept ones, too; and what is taken away takes its names along.
    succeeded(&place.run(&["embeddings", "add", &file]));
    for same in texts {
        assert_eq!(inner, pixels(&place, &[same]), "{same}");
    }
    succeeded(&place.run(&["embeddings", "remove", "innername"]));
    assert_ne!(inner, pixels(&place, &[texts[0]]));
    // Angle brackets are only of the name.
    let pea = word(&place, "learned_embeds.safetensors", "<pea>");
    assert_eq!(inner, pixels(&place, &["a embedding:pea toy", "-e", &pea]));
    assert_eq!(pixels(&place, &["a learned_embeds toy", "-e", &pea]), pixels(&place, &["a learned_embeds toy"]));
    succeeded(&place.run(&["embeddings", "add", &pea]));
    assert_eq!(inner, pixels(&place, &["a embedding:pea toy"]));
    // An ordinary word stays one, and what finds the embedding is proposed, and does.
    let apple = word(&place, "apple.safetensors", "<fruit>");
    let (codes, text) = said(&["an apple", "-e", &apple]);
    assert!(codes == ["unused-embedding"] && text.contains("write embedding:apple, or <fruit>"), "{codes:?} {text}");
    assert_eq!(inner, pixels(&place, &["a embedding:apple toy", "-e", &apple]));
    // What could be two words is none, and both are named.
    let other = word(&place, "other/filestem.safetensors", "<b2>");
    let (codes, text) = said(&["a embedding:FileStem toy, innername, <b2>", "-e", &file, "-e", &other]);
    assert!(codes == ["unknown-embedding"] && text.contains("any of \"innername\", \"<b2>\""), "{codes:?} {text}");
    assert!(!text.contains("give its file"), "{text}");
}

#[test]
fn tokens_are_shown_as_what_they_stand_for() {
    let place = Place::new();
    let model = tiny();
    let prompt = "f\u{fc}r \u{c4}ngste, \u{732b}";
    let output = place.run(&["prompt", prompt, "--model", &model]);
    succeeded(&output);
    let shown = text(&output.stdout);
    assert!(shown.contains("f\u{fc}r \u{e4}ngste , \u{732b}"), "{shown}");
    let output = place.run(&["prompt", prompt, "--model", &model, "--json"]);
    succeeded(&output);
    let event = &events(&output.stdout)[0];
    let tokens = event["encoders"][0][0]["tokens"].as_array().unwrap();
    let texts: Vec<&str> = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
    let all = texts.join("");
    assert!(all.starts_with('f') && !all.contains('\u{c3}') && !all.contains('\u{12e}'), "{texts:?}");
    // A part of a character is shown as the bytes that it is.
    assert!(all.contains("<0xE7>") || all.contains('\u{732b}'), "{texts:?}");
}

#[test]
fn a_pictures_text_names_the_embeddings_that_it_was_made_with() {
    let place = Place::new();
    let (one, other) = (word(&place, "one.safetensors", "<one>"), word(&place, "other.safetensors", "<other>"));
    let about = |more: &[&str]| {
        succeeded(&generate(&place, &[&["-e", &one, "-e", &other], more].concat()));
        let about = read_text(&fs::read(place.path("out.png")).unwrap()).unwrap();
        let names = ["<one> ", "<other> "].map(|name| {
            let lists = about.iter().filter(|(key, _)| key == "embeddings");
            lists.flat_map(|(_, value)| value.lines()).any(|line| line.starts_with(name))
        });
        let hashes = about.iter().any(|(key, value)| key == "parameters" && value.contains("TI hashes"));
        assert_eq!(hashes, names != [false; 2], "{about:?}");
        names
    };
    assert_eq!(about(&["a toy"]), [false, false]);
    assert_eq!(about(&["a <one>"]), [true, false]);
    assert_eq!(about(&["a <one>", "--negative-prompt", "<other>"]), [true, true]);
    assert_eq!(about(&["a <one>", "--negative-prompt", "<other>", "--guidance", "1"]), [true, false]);
    // Of a word that fell off the end of a prompt there is nothing in the picture.
    let long = format!("{}<one> <other>", "a cat and ".repeat(24));
    assert_eq!(about(&[&long, "--prompt-syntax", "plain"]), [true, false]);
    // In a language it is in the second stretch.
    assert_eq!(about(&[&long]), [true, true]);
}

#[test]
fn guidance_up_to_1_is_off_and_the_negative_prompt_with_it() {
    let place = Place::new();
    let off = pixels(&place, &["an apple", "--guidance", "0"]);
    assert_ne!(off, pixels(&place, &["a car", "--guidance", "0"]), "the prompt counts");
    for guidance in ["0.5", "1"] {
        assert_eq!(off, pixels(&place, &["an apple", "--guidance", guidance]), "{guidance}");
    }
    assert_ne!(off, pixels(&place, &["an apple", "--guidance", "1.5"]));
    let (codes, text) = warnings(&generate(&place, &["an apple", "--guidance", "1", "--negative-prompt", "blur"]));
    assert!(codes == ["no-effect"] && text.contains("--negative-prompt has no effect"), "{text}");
    let (codes, text) = warnings(&generate(&place, &["an apple", "--negative-prompt", "blur"]));
    assert_eq!(codes, [""; 0], "{text}");
}

#[test]
fn what_is_text_in_a_language_and_more_in_others_is_said() {
    let place = Place::new();
    let fox = word(&place, "wobblefox.safetensors", "wobblefox");
    let plain = pixels(&place, &["a toy, wobblefox", "-e", &fox]);
    for same in ["a toy, embedding:wobblefox", "a toy, Embedding:WOBBLEFOX.pt"] {
        assert_eq!(plain, pixels(&place, &[same, "-e", &fox]), "{same}");
        let (codes, text) = warnings(&generate(&place, &[same, "-e", &fox]));
        assert_eq!(codes, [""; 0], "{text}");
    }
    for (syntax, prompt, quoted) in [
        ("plain", "a (wobblefox:1.3) toy", "(wobblefox:1.3)"),
        ("plain", "a wobblefox BREAK a hill", "BREAK"),
        ("comfyui", "a wobblefox BREAK a hill", "BREAK"),
        ("a1111", "a wobblefox <lora:shiny:0.5>", "LoRA"),
        ("a1111", "a [red|green] wobblefox", "[red|green]"),
        ("compel", "a (wobblefox:1.3) toy", "(wobblefox:1.3)"),
    ] {
        let (codes, text) = warnings(&generate(&place, &[prompt, "-e", &fox, "--prompt-syntax", syntax]));
        assert!(codes == ["prompt-syntax"] && text.contains(quoted), "{codes:?} {text}");
    }
    for (syntax, prompt) in [
        ("a1111", "a (wobblefox:1.3) toy BREAK a [faint] hill"),
        ("comfyui", "a (wobblefox:1.3) toy"),
        ("compel", "a wobblefox++ on a (hill)0.5"),
    ] {
        let (codes, text) = warnings(&generate(&place, &[prompt, "-e", &fox, "--prompt-syntax", syntax]));
        assert_eq!(codes, [""; 0], "{prompt}: {text}");
    }
}

#[test]
fn a_caption_without_room_is_named_and_where_none_has_room_nothing_is_loaded() {
    let place = Place::new();
    let long = format!("{}and a <p>", "a red hill and ".repeat(20));
    for (i, caption) in ["a <p> here", "my <p>", "the <p>", &long].into_iter().enumerate() {
        for (folder, caption) in [("one", caption), ("all", &long)] {
            let pixels = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, i as u8 * 40]));
            let mut png = Vec::new();
            pixels.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
            place.file(&format!("{folder}/p-{i}.png"), &png);
            place.file(&format!("{folder}/p-{i}.txt"), caption.as_bytes());
        }
    }
    let train = |folder: &str, more: &[&str]| {
        let arguments = place.train(&[&["--overwrite"], more].concat());
        let pictures = place.path(folder).display().to_string();
        let arguments = arguments.iter().map(|argument| if *argument == peach() { &pictures } else { argument });
        place.run(&arguments.map(String::as_str).collect::<Vec<_>>())
    };
    // Whichever caption the first step draws: the message about it is true.
    for seed in ["0", "1", "2", "3", "4", "5"] {
        let (codes, text) = warnings(&train("one", &["--seed", seed, "--json"]));
        assert!(codes.contains(&"caption-without-embedding".to_owned()), "{codes:?}");
        assert!(text.contains("p-3.png has no room for <p>"), "{text}");
    }
    let none = ["no caption has room for <p>", "nearer to the beginning"];
    refused(&train("all", &[]), 2, &none);
    refused(
        &place.run_train(&["--captions", "off", "--vectors", "74"]),
        2,
        &["no caption has room for <p>", "--vectors at most"],
    );
    let template = place.file("long.txt", format!("{long}\n").replace("<p>", "{}").as_bytes());
    refused(&place.run_train(&["--captions", "off", "--template", &template]), 2, &none);
}

#[test]
fn settings_that_defeat_each_other_are_said() {
    let place = Place::new();
    let word = word(&place, "idle.safetensors", "<idle>");
    for (more, code, part) in [
        (&["--warmup", "10", "--steps", "2"][..], "peak-not-reached", "--warmup is 10"),
        (
            &["--preview-every", "1", "--preview-prompt", "a photo of a hill", "--steps", "1"],
            "preview-without-embedding",
            "<p>",
        ),
        (&["--preview-prompt", "a <p>"], "no-effect", "--preview-prompt has no effect"),
        (&["--kappa", "0.5"], "no-effect", "--kappa"),
        (&["--early-stop"], "no-effect", "--early-stop-window"),
        (&["--on-device-lost", "resume"], "no-effect", "--on-device-lost"),
        (&["--embedding", &word], "unused-embedding", "<idle>"),
        (&["--captions", "off", "--framing", "fit"], "no-effect", "every picture is square"),
    ] {
        let output = place.run_train(&[&["--captions", "off", "--overwrite", "--json"], more].concat());
        let (codes, text) = warnings(&output);
        assert!(codes.iter().any(|said| said == code) && text.contains(part), "{more:?}: {codes:?} {text}");
        assert_eq!(codes.len(), 1, "{more:?}: {text}");
        // The run's log has it, too.
        let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
        assert!(log.contains(&format!("\"{code}\"")), "{log}");
    }
    let output =
        place.command(&["embeddings", "list", "--model", "mini"]).env("PSEUDOWORD_HOMES", "x").output().unwrap();
    for part in ["--model has no effect", "did you mean PSEUDOWORD_HOME?"] {
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

/// A model whose weights are not there to be loaded: what is refused with status 2 was refused before.
fn without_weights(place: &Place) -> String {
    for part in ["text_encoder", "tokenizer", "vae", "scheduler", "unet"] {
        for entry in fs::read_dir(std::path::Path::new(&tiny()).join(part)).unwrap().map(Result::unwrap) {
            let weights = entry.path().extension().is_some_and(|extension| extension == "safetensors");
            let bytes = if weights { b"no weights".to_vec() } else { fs::read(entry.path()).unwrap() };
            place.file(&format!("model/{part}/{}", entry.file_name().display()), &bytes);
        }
    }
    "model".to_owned()
}

#[test]
fn what_cannot_be_is_refused_before_the_model_is_loaded() {
    let place = Place::new();
    let model = without_weights(&place);
    let (word, wide) = (
        word(&place, "word.safetensors", "<w>"),
        place.file("wide.safetensors", &{ Embedding::new("<wide>", 768, vec![0.1; 768]).to_safetensors() }),
    );
    let latents = |name: &str, shape: [usize; 4]| {
        let values = vec![0; 4 * shape.iter().product::<usize>()];
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &values).unwrap();
        place.file(name, &safetensors::serialize([("latents", view)], None).unwrap())
    };
    let (five, two) = (latents("five.safetensors", [1, 5, 8, 8]), latents("two.safetensors", [2, 4, 8, 8]));
    let generate = |more: &[&str]| place.run(&[&["generate", "a cat", "--model", &model], more].concat());
    for (more, status, parts) in [
        (&["--width", "521"][..], 2, &["--width 521", "multiple of"][..]),
        (&["--height", "0"], 2, &["--height 0"]),
        (&["--width", "4294967295"], 2, &["--width 4294967295", "4096"]),
        (&["--steps", "0"], 2, &["--steps 0"]),
        (&["--steps", "1001"], 2, &["--steps 1001", "1000"]),
        (&["--count", "0"], 2, &["--count 0"]),
        (&["--count", "4294967295"], 2, &["--count 4294967295"]),
        (&["--batch-size", "0"], 2, &["--batch-size 0"]),
        (&["--guidance", "nan"], 2, &["--guidance NaN"]),
        (&["--guidance", "inf"], 2, &["--guidance inf"]),
        (&["--guidance", "-1"], 2, &["--guidance -1"]),
        (&["--karras", "--sampler", "ddim"], 2, &["--karras"]),
        (&["--compare"], 2, &["--compare", "--embedding"]),
        (&["--compare", "-e", &word], 2, &["--compare", "use <w>"]),
        (&["-e", &wide], 3, &["768 wide"]),
        (&["-e", &word, "-e", &word], 2, &["was given twice"]),
        (&["--latents", &five], 2, &["[1, 5, 8, 8]"]),
        (&["--latents", &two, "--count", "3"], 2, &["[2, 4, 8, 8]"]),
        (&["--latents", &two, "--width", "32"], 2, &["[2, 4, 8, 8]"]),
        (&["--out", "cat.jpg"], 2, &["cat.jpg"]),
        (&["--seed", "18446744073709551615", "--count", "2"], 2, &["--seed", "18446744073709551614"]),
    ] {
        refused(&generate(more), status, parts);
    }
    // Otherwise it is the weights that are refused.
    refused(&generate(&["--width", "18", "--seed", "18446744073709551615"]), 3, &["safetensors"]);
}

/// Every number that can be typed, with what is none or cannot be: said in words, at once, and never a panic.
#[test]
fn numbers_that_cannot_be_are_refused_in_words() {
    let place = Place::new();
    let whole = [
        (
            "train",
            "vectors steps batch-size gradient-accumulation eval-size early-stop-window preview-steps resolution",
        ),
        ("train", "warmup eval-every preview-every save-every seed"),
        ("generate", "steps count batch-size width height"),
        ("bench", "steps batch resolution"),
    ];
    let real = [
        (
            "train",
            "lr relative-lr beta1 beta2 eps weight-decay kappa snr-gamma context-weight caption-dropout early-stop-threshold",
        ),
        ("generate", "guidance"),
        ("bench", "seconds"),
    ];
    let start = |command: &str| match command {
        "train" => vec!["train", "nowhere", "--token", "<p>"],
        "generate" => vec!["generate", "a cat", "--model", "nowhere"],
        _ => vec!["bench", "--model", "nowhere"],
    };
    let said = |command: &str, option: &str, value: &str| {
        let output = place.run(&[&start(command)[..], &[&format!("--{option}={value}")]].concat());
        let said = text(&output.stderr).to_owned();
        assert_eq!(output.status.code(), Some(2), "{command} --{option}={value}: {said}");
        for raw in ["invalid digit", "float literal", "too large to fit", "panicked", "cannot parse"] {
            assert!(!said.contains(raw), "{said}");
        }
        assert!(said.contains(&format!("--{option}")), "{said}");
    };
    for (command, options) in whole {
        for option in options.split(' ') {
            for value in ["-1", "1.5", "x", "", "1e3", "99999999999999999999999"] {
                said(command, option, value);
            }
        }
    }
    for (command, options) in real {
        for option in options.split(' ') {
            for value in ["nan", "inf", "-inf", "-1", "x", "0,5", ""] {
                said(command, option, value);
            }
        }
    }
}

#[test]
fn a_seed_of_minus_1_is_any_and_is_said() {
    let place = Place::new();
    let output = generate(&place, &["a cat", "--seed", "-1"]);
    let (codes, said) = warnings(&output);
    assert_eq!(codes, ["any-seed"]);
    let about = read_text(&fs::read(place.path("out.png")).unwrap()).unwrap();
    let seed = about.iter().find(|(key, _)| key == "seed").map(|(_, value)| value.clone()).unwrap();
    assert!(said.contains(&format!(": {seed},")), "{said}: {seed}");
    let again = image::open(place.path("out.png")).unwrap().into_rgb8().into_raw();
    assert_eq!(again, pixels(&place, &["a cat", "--seed", &seed]));
    let train = place.run_train(&["--seed", "-1"]);
    assert_eq!(train.status.code(), Some(2));
    assert!(text(&train.stderr).contains("whole number from 0"), "{}", text(&train.stderr));
}

/// Sides that halve to odd numbers are what `diffusers` makes of them: sums of the colours of each band of rows.
#[test]
fn odd_sizes_are_made_as_the_reference_makes_them() {
    let place = Place::new();
    let sums = |model: &str, prompt: &str, [h, w]: [usize; 2], rows: usize| {
        let values: Vec<u8> = (0..4 * h * w).flat_map(|i| ((i % 17) as f32 / 8.0 - 1.0).to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 4, h, w], &values).unwrap();
        let latents = place.file("latents.safetensors", &safetensors::serialize([("latents", view)], None).unwrap());
        let usual = ["--guidance", "4", "--sampler", "ddim"];
        let options = ["--steps", "4", "--latents", &latents, "--out", "out.png", "--overwrite"];
        succeeded(&place.run(&[&["generate", prompt, "--model", model], &usual[..], &options[..]].concat()));
        let picture = image::open(place.path("out.png")).unwrap().into_rgb8();
        let width = picture.width() as usize;
        let bands = picture.as_raw().chunks(rows * width * 3);
        let sum =
            |band: &[u8], channel: usize| band.iter().skip(channel).step_by(3).map(|v| i64::from(*v)).sum::<i64>();
        (bands.map(|band| [0, 1, 2].map(|channel| sum(band, channel))).collect::<Vec<_>>(), rows * width)
    };
    let close = |(made, pixels): (Vec<[i64; 3]>, usize), expected: &[[i64; 3]]| {
        assert_eq!(made.len(), expected.len());
        // Each pixel may be rounded the other way.
        let most = pixels as i64 / 2;
        let all = made.iter().flatten().zip(expected.iter().flatten());
        assert!(all.clone().all(|(a, b)| (a - b).abs() <= most), "{:?}", all.collect::<Vec<_>>());
    };
    let tiny_9x7 = [
        [1957, 1646, 1086],
        [2371, 1894, 1269],
        [2297, 2114, 483],
        [2136, 2266, 535],
        [2127, 3056, 532],
        [2821, 2764, 327],
        [2989, 2254, 873],
        [2893, 865, 1431],
        [2030, 2585, 849],
        [1518, 2913, 206],
        [2733, 2563, 351],
        [3177, 973, 1530],
        [2379, 2096, 1033],
        [1598, 2710, 335],
        [2135, 2860, 361],
        [3155, 1367, 1467],
        [2357, 1730, 2174],
        [2029, 1866, 2073],
    ];
    close(sums(&tiny(), "a cat", [9, 7], 1), &tiny_9x7);
    let tiny_6x5 = [
        [1288, 890, 667],
        [1407, 1672, 475],
        [1816, 1909, 437],
        [1930, 1165, 505],
        [1807, 1860, 253],
        [1598, 1839, 93],
        [1644, 1843, 278],
        [2023, 1542, 517],
        [1848, 1422, 1096],
        [1604, 1228, 1314],
        [1458, 1659, 1506],
        [1197, 1279, 1253],
    ];
    close(sums(&tiny(), "a cat", [6, 5], 1), &tiny_6x5);
    // Three levels: 9, 5 and 3 rows.
    let mini_9x7 = [
        [26291, 7899, 6384],
        [25864, 7833, 6088],
        [25554, 8516, 5896],
        [25822, 7117, 5715],
        [27637, 4941, 5913],
        [28143, 3727, 6278],
        [28162, 3470, 6473],
        [27805, 2925, 6150],
        [27293, 2575, 6183],
    ];
    close(sums(&mini_f16(), "a red apple", [9, 7], 4), &mini_9x7);
}
