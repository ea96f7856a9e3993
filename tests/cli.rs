//! The program as a user meets it: exit statuses, what is said and where, and files that hold what was promised.

#![cfg(feature = "native")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;

use pseudoword::config::TrainConfig;
use pseudoword::embedding::Embedding;
use pseudoword::error::EXIT_CODES;
use pseudoword::image::{Picture, read_text};
use pseudoword::session::Session;
use pseudoword::source::Folder;
use pseudoword::train::{TrainInput, TrainPicture};
use serde_json::Value;

/// Four pictures with captions.
fn peach() -> String {
    format!("{}/examples/peach", env!("CARGO_MANIFEST_DIR"))
}

/// A model with random weights, a few thousand of them.
fn tiny() -> String {
    format!("{}/tests/fixtures/tiny-sd1", env!("CARGO_MANIFEST_DIR"))
}

/// A place of its own for each test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
        self.path(name).display().to_string()
    }

    /// The program, to be run here; on the processor unless the arguments say otherwise.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pseudoword"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        if !arguments.contains(&"--device") && !arguments.is_empty() {
            command.args(["--device", "cpu"]);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A quick run on the tiny model with more arguments.
    fn train(&self, more: &[&str]) -> Vec<String> {
        let (model, pictures) = (tiny(), peach());
        let quick = ["train", &pictures, "--token", "<p>", "--init", "apple", "--model", &model, "--out", "run"];
        let quicker = ["--steps", "3", "--batch-size", "1", "--eval-size", "2", "--preview-every", "0"];
        // What is given again replaces what was given before.
        let given = |name: &str| more.contains(&name);
        let mut arguments = Vec::new();
        for pair in [&quick[2..], &quicker].concat().chunks(2) {
            if !given(pair[0]) {
                arguments.extend(pair.iter().map(|argument| (*argument).to_owned()));
            }
        }
        let start = quick[..2].iter().map(|argument| (*argument).to_owned());
        start.chain(arguments).chain(more.iter().map(|argument| (*argument).to_owned())).collect()
    }

    fn run_train(&self, more: &[&str]) -> Output {
        let arguments = self.train(more);
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Asserts an exit status and that the message, the last line of standard error, holds each of some parts.
#[track_caller]
fn refused(output: &Output, status: i32, parts: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "one message: {said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
}

/// The events of a `--json` run.
#[track_caller]
fn events(output: &[u8]) -> Vec<Value> {
    let events: Vec<Value> = text(output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(events.iter().all(|event| event["event"].is_string()), "{events:?}");
    events
}

fn read_word(path: &Path) -> Embedding {
    Embedding::from_safetensors(&fs::read(path).unwrap(), "test").unwrap()
}

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn help_shows_examples_headings_and_every_exit_status() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    succeeded(&help);
    for (code, meaning) in EXIT_CODES {
        assert!(text(&help.stdout).contains(&format!("{code:>3}  {meaning}")), "{code}: {}", text(&help.stdout));
    }
    for command in ["train", "generate", "models", "doctor", "bench"] {
        assert!(text(&help.stdout).contains(&format!("  {command} ")), "{command}");
        let help = place.run(&[command, "--help"]);
        let said = text(&help.stdout);
        for part in ["Examples:", &format!("  pseudoword {command}"), "Every command:", "--device", "--json", "--quiet"]
        {
            assert!(said.contains(part), "{command}: no {part:?} in {said}");
        }
        assert!(said.lines().all(|line| line.chars().count() <= 110), "{said}");
    }
    let train = place.run(&["train", "--help"]);
    for heading in ["The word:", "Training:", "Pictures and captions:", "Progress:", "Files:"] {
        assert!(text(&train.stdout).contains(heading), "{heading}");
    }
    assert!(text(&place.run(&["--version"]).stdout).starts_with("pseudoword 0."));
}

#[test]
fn bad_pictures_are_named_before_anything_else_happens() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let mut jpeg = Vec::new();
    let pixels = image::RgbImage::from_fn(80, 60, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 99]));
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode_image(&pixels).unwrap();
    let cut = place.file("cut.jpg", &jpeg[..jpeg.len() / 2]);
    let lie = place.file("lie.png", b"I am not a picture.\n");
    // 144 megapixels in sixty bytes: the header is believed as far as it is refused.
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x2e\xe0\0\0\x2e\xe0\x08\x02\0\0\0\0\0\0\0".to_vec();
    bomb.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    let bomb = place.file("bomb.png", &bomb);
    let train = |pictures: &str| place.run(&["train", pictures, "--token", "<p>", "--out", "run"]);

    refused(&train("empty"), 3, &["no pictures in empty", "PNG, JPEG or WebP"]);
    refused(&train("nowhere"), 7, &["cannot read nowhere"]);
    refused(&train(&lie), 3, &["lie.png", "text file"]);
    refused(&train(&cut), 3, &["cut.jpg", "cut off"]);
    refused(&train(&bomb), 3, &["bomb.png", "12000x12000", "100 megapixels"]);
    let none = place.run(&["train", "--token", "<p>"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("<PICTURES>"), "{}", text(&none.stderr));
    assert!(!place.path("run").exists());
}

#[test]
fn bad_words_and_numbers_are_refused_with_advice() {
    let place = Place::new();
    let train = |more: &[&str]| place.run_train(more);
    refused(&train(&["--token", "cat"]), 2, &["\"cat\" is taken", "<my-cat>"]);
    refused(&train(&["--token", "<|endoftext|>"]), 2, &["endoftext", "is taken"]);
    refused(&train(&["--token", "two words"]), 2, &["two words", "spaces"]);
    refused(&train(&["--token", ""]), 2, &["empty"]);
    refused(&train(&["--init", "red apple"]), 2, &["red + apple", "2 tokens", "--vectors 2"]);
    refused(&train(&["--vectors", "0"]), 2, &["--vectors 0", "at least 1"]);
    refused(&train(&["--steps", "0"]), 2, &["--steps 0", "at least 1"]);
    refused(&train(&["--lr", "NaN"]), 2, &["--lr NaN", "above 0"]);
    refused(&train(&["--lr", "-1"]), 2, &["--lr -1", "above 0"]);
    refused(&train(&["--resolution", "50"]), 2, &["--resolution 50", "multiple of"]);
    refused(&train(&["--init", "nowhere.safetensors"]), 7, &["nowhere.safetensors"]);
    assert!(!place.path("run").exists());
}

#[test]
fn bad_models_and_folders_are_refused_before_the_work() {
    let place = Place::new();
    for part in ["text_encoder", "tokenizer", "vae", "scheduler"] {
        for entry in fs::read_dir(Path::new(&tiny()).join(part)).unwrap().map(Result::unwrap) {
            let name = format!("model/{part}/{}", entry.file_name().display());
            place.file(&name, &fs::read(entry.path()).unwrap());
        }
    }
    refused(&place.run_train(&["--model", "model"]), 3, &["model has no U-Net", "unet/config.json"]);
    refused(&place.run_train(&["--model", "nowhere"]), 3, &["nowhere", "no such model folder"]);
    let file = place.file("file", b"");
    refused(&place.run_train(&["--out", &format!("{file}/run")]), 7, &["cannot write", "not a folder"]);
    refused(&place.run_train(&["--record", &format!("{file}/choices")]), 7, &["cannot write", "not a folder"]);
    refused(&place.run_train(&["--embedding", &file]), 3, &["file", "empty"]);
    assert!(!place.path("run").exists());
    refused(&place.run(&["generate", "a cat", "--out", &format!("{file}/out.png")]), 7, &["cannot write"]);
    refused(&place.run(&["generate", "a cat", "--out", "cat.jpg"]), 2, &["cat.jpg", "PNG"]);
    refused(&place.run(&["generate", "a cat", "--steps", "0"]), 2, &["0 steps"]);
    refused(&place.run(&["generate", "a cat", "--compare"]), 2, &["--compare", "--embedding"]);
}

#[test]
fn a_run_leaves_the_word_that_the_library_learns_bit_for_bit() {
    let place = Place::new();
    let output = place.run_train(&["--captions", "off"]);
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
    let header = String::from_utf8_lossy(&fs::read(&path).unwrap()[..400]).into_owned();
    assert!(header.contains(r#""format":"pt""#) && header.contains(r#""<p>":{"#), "{header}");

    let names = ["3d", "flat", "noto", "twemoji"].map(|name| format!("{}/{name}.png", peach()));
    let pictures = names.iter().map(|name| {
        let picture = Picture::decode(name, &fs::read(name).unwrap()).unwrap();
        TrainPicture { picture, caption: None }
    });
    let input = TrainInput { pictures: pictures.collect(), ..TrainInput::default() };
    let config =
        TrainConfig { token: "<p>".into(), init: Some("apple".into()), steps: 3, batch_size: 1, ..quiet_config() };
    let rows = pollster::block_on(async {
        let source = Rc::new(Folder::new(tiny()));
        let session = Session::open(source, &pseudoword::gpu::cpu(), &mut |_| ()).await.unwrap();
        let mut job = session.train(&config, input).unwrap();
        while job.next().await.unwrap().is_some() {}
        job.embedding().rows
    });
    assert_eq!(bits(&word.rows), bits(&rows));

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
fn what_an_earlier_run_learned_is_not_overwritten_unasked() {
    let place = Place::new();
    succeeded(&place.run_train(&[]));
    let before = fs::read(place.path("run/learned_embeds.safetensors")).unwrap();
    refused(&place.run_train(&["--seed", "1"]), 2, &["learned_embeds.safetensors is there", "--out", "--overwrite"]);
    assert_eq!(fs::read(place.path("run/learned_embeds.safetensors")).unwrap(), before);
    succeeded(&place.run_train(&["--seed", "1", "--overwrite"]));
    assert_ne!(fs::read(place.path("run/learned_embeds.safetensors")).unwrap(), before);
    let left: Vec<_> = fs::read_dir(place.path("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("tmp")), "{left:?}");
}

#[test]
fn the_model_in_the_program_learns_from_real_pictures() {
    let place = Place::new();
    let more = ["--model", "mini", "--steps", "2", "--preview-every", "2", "--json"];
    let output = place.run_train(&more);
    succeeded(&output);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let events = events(&output.stdout);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    for name in
        ["device", "load", "warning", "encode", "plan", "evaluation", "preview", "first-gradient", "step", "saved"]
    {
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    assert_eq!(names.last(), Some(&"done"));
    let last = events.iter().filter(|event| event["event"] == "evaluation").next_back().unwrap();
    assert!(last["loss"].as_f64().unwrap() < 1.0, "{last}");
    assert_eq!(read_word(&place.path("run/learned_embeds.safetensors")).width, 128);
    let preview = fs::read(place.path("run/previews/step-000002.png")).unwrap();
    let about = read_text(&preview).unwrap();
    assert!(about.contains(&("prompt".into(), "a photo of a <p>".into())), "{about:?}");
    assert!(about.contains(&("training step".into(), "2".into())), "{about:?}");
    assert!(place.path("run/previews.png").exists());
}

#[test]
fn results_go_to_one_stream_and_everything_else_to_the_other() {
    let place = Place::new();
    let output = place.run_train(&[]);
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let said = text(&output.stderr);
    assert!(said.contains("cpu: ") && said.contains("learning <p>") && said.contains("done: 3 steps"), "{said}");
    assert!(said.contains("warning: the captions beside the pictures are used"), "{said}");
    assert!(!said.contains('\u{1b}'), "escape codes off a terminal: {said:?}");
    let output = place.run_train(&["--quiet", "--overwrite"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("run/learned_embeds.safetensors\n", ""));
    let output = place.run(&["generate", "a cat", "--quiet", "--model", &tiny(), "--steps", "2"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out.png\n", ""));
}

#[test]
fn errors_are_json_too_where_json_was_asked_for() {
    let place = Place::new();
    for (arguments, code, part) in [
        (place.train(&["--json", "--steps", "0"]), 2, "--steps 0"),
        (vec!["train".into(), "--json".into(), "--token".into(), "<p>".into()], 2, "<PICTURES>"),
        (vec!["models".into(), "--json".into(), "--model".into(), "nowhere".into()], 3, "nowhere"),
    ] {
        let output = place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let last = events(&output.stdout).pop().unwrap();
        assert_eq!((output.status.code(), last["event"].as_str()), (Some(code), Some("error")), "{last}");
        assert_eq!(last["code"], code);
        assert!(last["message"].as_str().unwrap().contains(part), "{last}");
        assert_eq!(text(&output.stderr).matches("error: ").count(), 1);
    }
}

#[test]
fn pictures_carry_what_made_them() {
    let place = Place::new();
    succeeded(&place.run_train(&["--model", "mini", "--steps", "1"]));
    let word = "run/learned_embeds.safetensors";
    let hash = read_word(&place.path(word)).hash();
    let prompt = "a <fruit> in noto style";
    let renamed = format!("{word}=<fruit>");
    let common = ["--embedding", &renamed, "--steps", "2", "--seed", "7", "--negative-prompt", "a cat"];
    let generate = |more: &[&str]| place.run(&[&["generate", prompt], &common[..], more].concat());
    let output = generate(&[]);
    succeeded(&output);
    assert_eq!(text(&output.stdout), "out.png\n");
    let about = read_text(&fs::read(place.path("out.png")).unwrap()).unwrap();
    let get = |key: &str| about.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str());
    for (key, value) in [
        ("prompt", prompt),
        ("negative prompt", "a cat"),
        ("seed", "7"),
        ("steps", "2"),
        ("guidance", "4"),
        ("sampler", "ddim"),
        ("size", "64x64"),
        ("model", "mini"),
        ("embeddings", &format!("<fruit> {hash}")),
        ("Software", &format!("pseudoword {}", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(get(key), value, "{key}");
    }
    assert_eq!(get("model hash").len(), 64);
    let parameters =
        format!("{prompt}\nNegative prompt: a cat\nSteps: 2, Sampler: DDIM, CFG scale: 4, Seed: 7, Size: 64x64");
    assert!(get("parameters").starts_with(&parameters), "{}", get("parameters"));

    // The same again gives the same picture under a free name, or the same name if that was asked for.
    let first = fs::read(place.path("out.png")).unwrap();
    let again = generate(&[]);
    assert_eq!(text(&again.stdout), "out-1.png\n");
    assert!(text(&again.stderr).contains("out.png exists: writing out-1.png"), "{}", text(&again.stderr));
    assert_eq!(fs::read(place.path("out-1.png")).unwrap(), first);
    assert_eq!(text(&generate(&["--overwrite"]).stdout), "out.png\n");
    // A pipe gets the file itself.
    assert_eq!(generate(&["--out", "-"]).stdout, first);
    let several = generate(&["--count", "2", "--out", "many"]);
    assert_eq!(text(&several.stdout), "many/out-0.png\nmany/out-1.png\n");

    let sheet = generate(&["--compare", "--out", "sheet.png", "--json"]);
    succeeded(&sheet);
    assert_eq!(events(&sheet.stdout).last().unwrap()["event"], "done");
    let sheet = image::open(place.path("sheet.png")).unwrap();
    assert!(sheet.width() > 2 * 64 && sheet.height() > 64);
}

#[test]
fn noise_from_a_file_decides_count_and_size() {
    let place = Place::new();
    let values: Vec<u8> = (0..2 * 4 * 8 * 12).flat_map(|i| ((i % 17) as f32 / 8.0 - 1.0).to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 4, 8, 12], &values).unwrap();
    let bytes = safetensors::serialize([("latents", view)], None).unwrap();
    let latents = place.file("latents.safetensors", &bytes);
    let output = place.run(&["generate", "a cat", "--model", &tiny(), "--steps", "2", "--latents", &latents]);
    succeeded(&output);
    assert_eq!(text(&output.stdout), "out-0.png\nout-1.png\n");
    assert_eq!(image::image_dimensions(place.path("out-0.png")).unwrap(), (24, 16));
    assert_ne!(fs::read(place.path("out-0.png")).unwrap(), fs::read(place.path("out-1.png")).unwrap());
    let other = place.file("other.safetensors", b"no");
    refused(&place.run(&["generate", "a cat", "--model", &tiny(), "--latents", &other]), 3, &["other.safetensors"]);
}

#[test]
fn what_was_recorded_is_replayed_bit_for_bit() {
    let place = Place::new();
    succeeded(&place.run_train(&["--record", "choices.safetensors", "--batch-size", "2"]));
    refused(
        &place.run_train(&["--record", "choices.safetensors", "--out", "other"]),
        2,
        &["choices.safetensors is there"],
    );
    // Another seed, which nothing may depend on any more, and no pictures.
    let model = tiny();
    let again = ["train", "--token", "<p>", "--init", "apple", "--model", &model, "--replay", "choices.safetensors"];
    let settings = ["--steps", "3", "--batch-size", "2", "--preview-every", "0", "--seed", "9", "--out", "again"];
    succeeded(&place.run(&[&again[..], &settings[..]].concat()));
    let [first, second] = ["run", "again"].map(|run| read_word(&place.path(run).join("learned_embeds.safetensors")));
    assert_eq!(bits(&first.rows), bits(&second.rows));
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
    assert_eq!(bits(&bad.rows), bits(&one.rows));
}

/// Starts a run that would take hours and waits for its first step.
fn begun(place: &Place) -> (Child, BufReader<std::process::ChildStdout>) {
    let arguments = place.train(&["--json", "--steps", "1000000", "--eval-every", "0", "--save-every", "0"]);
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(r#""event":"step""#) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "ended before its first step");
    }
    (child, lines)
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_what_it_has() {
    let place = Place::new();
    let (mut child, mut lines) = begun(&place);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
    let status = child.wait().unwrap();
    let last = events(&rest).pop().unwrap();
    assert_eq!((status.code(), last["code"].as_i64()), (Some(130), Some(130)), "{last}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("stopping after this step") && !said.contains("error"), "{said}");
    let steps: u32 = read_word(&place.path("run/learned_embeds.safetensors")).metadata["steps"].parse().unwrap();
    assert!((1..1_000_000).contains(&steps), "{steps}");
}

#[test]
fn a_reader_who_goes_away_is_no_error_and_costs_nothing() {
    let place = Place::new();
    let (mut child, lines) = begun(&place);
    drop(lines);
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    read_word(&place.path("run/learned_embeds.safetensors"));
    let mut child = place.command(&["models"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn models_and_doctor_describe_what_there_is() {
    let place = Place::new();
    let models = events(&place.run(&["models", "--json", "--model", &tiny()]).stdout);
    assert_eq!((models[0]["name"].as_str(), models[1]["name"].as_str()), (Some("mini"), Some("tiny-sd1")));
    assert_eq!((models[0]["resolution"].as_u64(), models[0]["width"].as_u64()), (Some(64), Some(128)));
    assert!(models[0]["parts"]["unet"]["parameters"].as_u64().unwrap() > 5_000_000);
    let people = place.run(&["models"]);
    assert!(text(&people.stdout).contains("mini (built in)") && text(&people.stdout).contains("5.60 million"));

    let doctor = place.run(&["doctor", "--json"]);
    succeeded(&doctor);
    let report = events(&doctor.stdout).pop().unwrap();
    assert_eq!((report["chosen"]["kind"].as_str(), report["self_test"]["passed"].as_bool()), (Some("cpu"), Some(true)));
    // Where no driver is installed, asking for a GPU ends with advice, and asking for nothing with the processor.
    let without = |device: &str| {
        place.command(&["doctor", "--device", device]).env("VK_ICD_FILENAMES", "/none").output().unwrap()
    };
    if cfg!(target_os = "linux") {
        let gpu = without("gpu");
        assert_eq!(gpu.status.code(), Some(5), "{}", text(&gpu.stdout));
        assert!(text(&gpu.stderr).contains("--device cpu"), "{}", text(&gpu.stderr));
        let auto = without("auto");
        succeeded(&auto);
        assert!(text(&auto.stdout).contains("no GPU was found"), "{}", text(&auto.stdout));
    }
}

#[test]
fn bench_measures_each_piece_of_work() {
    let place = Place::new();
    let output = place.run(&["bench", "--model", &tiny(), "--steps", "3", "--batch", "1", "--json"]);
    succeeded(&output);
    let report = events(&output.stdout).pop().unwrap();
    for figures in [&report["vae_encode_s"], &report["denoise_step_s"], &report["train_step_s"]["1"]] {
        assert!(figures["median"].as_f64().unwrap() > 0.0 && figures["reps"] == 3, "{report}");
    }
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
    assert!(text(&output.stderr).contains("beside 1 of 2 pictures only"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("2 pictures are few"), "{}", text(&output.stderr));
    refused(&train(&["--captions", "on"]), 2, &["b.png has no caption", "b.txt"]);
    let mut file = fs::File::create(place.path("pictures/b.txt")).unwrap();
    file.write_all(b"another {} there").unwrap();
    succeeded(&train(&[]));
    let choices = fs::read(place.path("choices")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&choices).unwrap();
    let captions = header.metadata().as_ref().unwrap()["captions"].clone();
    assert!(captions.contains("one <p> here") || captions.contains("another <p> there"), "{captions}");
    place.file("pictures/b.txt", b"no place for it");
    refused(&train(&[]), 3, &["b.txt", "no {}", "--captions off"]);
}
