//! Runs that are interrupted, by whatever, resume where they were and end where they would have ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pseudoword::train::RunState;

use crate::converting::copy;
use crate::place::{Place, bits, events, mini_f16, peach, read_word, refused, succeeded, text};

/// The rows of the word in a run's folder.
fn rows(place: &Place, run: &str) -> Vec<u32> {
    bits(read_word(&place.path(run).join("learned_embeds.safetensors")).rows())
}

fn state(place: &Place, name: &str) -> RunState {
    RunState::read(&fs::read(place.path(name)).unwrap(), name).unwrap()
}

/// A run with failures that are asked for; see `src/base/failpoints.rs`.
fn failing(place: &Place, failures: &str, more: &[&str]) -> Output {
    let arguments = place.train(more);
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("PSEUDOWORD_FAILPOINTS", format!("every-step=on {failures}")).output().unwrap()
}

#[test]
fn a_run_that_is_killed_at_any_moment_of_saving_goes_on() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole", "--steps", "4"]));
    for stage in ["create", "half", "sync", "keep", "rename", "folder"] {
        let run = ["--out", stage, "--steps", "4"];
        let died = failing(&place, &format!("state:{stage}=die@3"), &run);
        assert_eq!(died.status.code(), None, "{stage}: {}", text(&died.stderr));
        let output = place.run_train(&run);
        succeeded(&output);
        // Death after the new name was given leaves the third step, death before it the second.
        let step = if stage == "folder" { 3 } else { 2 };
        let said = text(&output.stderr);
        assert!(said.contains(&format!("resuming after step {step} of 4")), "{stage}: {said}");
        assert!(!said.contains("cannot be used"), "nothing is damaged: {said}");
        assert_eq!(rows(&place, stage), rows(&place, "whole"), "{stage}");
        let left: Vec<_> = fs::read_dir(place.path(stage)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
    }
}

#[test]
fn a_finished_run_is_finished_and_a_longer_one_goes_on_only_where_it_is_the_same() {
    let place = Place::new();
    succeeded(&place.run_train(&[]));
    let before = rows(&place, "run");
    let output = place.run_train(&[]);
    succeeded(&output);
    assert_eq!(text(&output.stdout), "run/learned_embeds.safetensors\n");
    let said = text(&output.stderr);
    assert!(said.contains("this run is finished: 3 steps are made") && !said.contains("picture 1/"), "{said}");
    // The rate of a cosine was planned for three steps.
    refused(&place.run_train(&["--steps", "5"]), 2, &["--steps was 3, it is 5", "constant", "--overwrite"]);
    assert_eq!(rows(&place, "run"), before);

    let constant = ["--lr-schedule", "constant"];
    succeeded(&place.run_train(&[&["--out", "long", "--steps", "5"], &constant[..]].concat()));
    succeeded(&place.run_train(&[&["--out", "short", "--steps", "3"], &constant[..]].concat()));
    let output = place.run_train(&[&["--out", "short", "--steps", "5"], &constant[..]].concat());
    succeeded(&output);
    assert!(text(&output.stderr).contains("resuming after step 3 of 5"), "{}", text(&output.stderr));
    assert_eq!(rows(&place, "short"), rows(&place, "long"));
    refused(
        &place.run_train(&[&["--out", "short", "--steps", "4"], &constant[..]].concat()),
        2,
        &["--steps was 5, it is 4, and 5 are made"],
    );
}

#[test]
fn other_inputs_are_refused_and_named() {
    let place = Place::new();
    for name in ["flat", "noto"] {
        place.file(&format!("pictures/{name}.png"), &fs::read(format!("{}/{name}.png", peach())).unwrap());
    }
    let train = |more: &[&str]| {
        let all = place.train(&[&["--record", "choices"], more].concat());
        let mut all: Vec<&str> =
            all.iter().map(String::as_str).filter(|argument| !["--record", "choices"].contains(argument)).collect();
        all[1] = "pictures";
        place.run(&all)
    };
    succeeded(&train(&[]));
    let before = fs::read(place.path("run/state")).unwrap();
    let changed = ["(the run is in run: give another --out", "--overwrite to start over"];
    refused(
        &train(&["--seed", "1", "--lr", "0.5"]),
        2,
        &[&["--seed was 0, it is 1", "--lr was 0.004, it is 0.5"], &changed[..]].concat(),
    );
    place.file("pictures/other.png", &fs::read(format!("{}/3d.png", peach())).unwrap());
    refused(&train(&[]), 2, &["new: picture 3, pictures/other.png"]);
    fs::remove_file(place.path("pictures/other.png")).unwrap();
    place.file("pictures/noto.png", &fs::read(format!("{}/3d.png", peach())).unwrap());
    refused(&train(&[]), 2, &["changed: picture 2, pictures/noto.png"]);
    refused(&train(&["--model", "mini"]), 2, &["missing: the model", "new: the model"]);
    assert_eq!(fs::read(place.path("run/state")).unwrap(), before, "a refusal touches nothing");
    refused(
        &train(&["--resume", "--out", "elsewhere"]),
        2,
        &["there is no run in elsewhere to resume", "leave out --resume"],
    );
    assert!(!place.path("elsewhere").exists());
    succeeded(&train(&["--overwrite"]));

    // The file of choices is an input as well.
    succeeded(&place.run_train(&["--record", "choices", "--out", "recorded"]));
    succeeded(&place.run_train(&["--replay", "choices", "--out", "replayed"]));
    let mut bytes = fs::read(place.path("choices")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    place.file("choices", &bytes);
    refused(
        &place.run_train(&["--replay", "choices", "--out", "replayed"]),
        2,
        &["changed: the file of choices (--replay)"],
    );
}

#[test]
fn a_damaged_state_is_never_taken_and_never_in_silence() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole", "--steps", "4"]));
    assert_eq!(failing(&place, "step=die@3", &["--steps", "4"]).status.code(), None);
    let [good, previous] = ["state", "state.prev"].map(|name| fs::read(place.path("run").join(name)).unwrap());
    assert_eq!((state(&place, "run/state").step(), state(&place, "run/state.prev").step()), (3, 2));
    let mut flipped = good.clone();
    flipped[good.len() / 3] ^= 4;
    for (damaged, word) in
        [(flipped.as_slice(), "damaged"), (&good[..good.len() / 2], "damaged"), (&[], "not the state")]
    {
        place.file("run/state", damaged);
        place.file("run/state.prev", &previous);
        fs::remove_file(place.path("run/learned_embeds.safetensors")).ok();
        let output = place.run_train(&["--steps", "4"]);
        succeeded(&output);
        let said = text(&output.stderr);
        for part in [
            "warning: run/state cannot be used",
            word,
            "run/state.prev, from step 2, is used instead",
            "after step 2 of 4",
        ] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert_eq!(rows(&place, "run"), rows(&place, "whole"));
        assert_eq!(fs::read(place.path("run/state.damaged")).unwrap(), damaged, "kept for whoever wants to look");
    }
    place.file("run/state", &flipped);
    place.file("run/state.prev", &previous[..100]);
    let before = fs::read(place.path("run/learned_embeds.safetensors")).unwrap();
    refused(
        &place.run_train(&["--steps", "4"]),
        3,
        &["its state cannot be used", "run/state:", "run/state.prev:", "--overwrite"],
    );
    assert_eq!(fs::read(place.path("run/learned_embeds.safetensors")).unwrap(), before);
    succeeded(&place.run_train(&["--steps", "4", "--overwrite"]));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
}

#[test]
fn a_run_is_made_again_from_its_settings() {
    let place = Place::new();
    let more =
        ["--weights", "f16", "--recipe", "direction", "--gradient-accumulation", "2", "--seed", "7", "--no-flip"];
    succeeded(&place.run_train(&more));
    let again = ["train", "--config", "run/settings.json", "--out", "again", "--quiet"];
    // From the settings come the device and the model, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pseudoword"));
    let output = command.current_dir(place.path("")).args(again).stdin(Stdio::null()).output().unwrap();
    succeeded(&output);
    assert_eq!(rows(&place, "again"), rows(&place, "run"));
    let losses = |run: &str| -> Vec<String> {
        let log = events(&fs::read(place.path(&format!("{run}/log.jsonl"))).unwrap());
        let kinds = ["step", "evaluation"];
        log.iter()
            .filter(|entry| kinds.iter().any(|kind| entry["event"] == *kind))
            .map(|entry| entry["loss"].to_string())
            .collect()
    };
    assert_eq!(losses("again"), losses("run"));
    let settings = |run: &str| fs::read_to_string(place.path(&format!("{run}/settings.json"))).unwrap();
    assert_eq!(settings("again"), settings("run"), "it can be repeated again");
    let guide = fs::read_to_string(place.path("run/README.txt")).unwrap();
    assert!(guide.contains("pseudoword train --out run --config run/settings.json"), "{guide}");
    place.file("bad.json", br#"{"stepps": 3}"#);
    refused(&place.run(&["train", "--config", "bad.json", "--token", "<p>"]), 3, &["bad.json", "no option --stepps"]);
}

#[test]
fn a_dry_run_answers_and_writes_nothing() {
    let place = Place::new();
    let output = place.run_train(&["--dry-run", "--steps", "1000"]);
    succeeded(&output);
    let said = text(&output.stdout);
    let usual = "4 vectors, learning rate 0.004: usual for Stable Diffusion 1.x (this model's own family is unknown)";
    for part in ["would begin a run in run", "nothing is written", "1000 steps of 1 samples", usual, "a step", "MB"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!place.path("run").exists());
    assert_eq!(failing(&place, "step=die@2", &["--steps", "5"]).status.code(), None);
    let before = fs::read(place.path("run/state")).unwrap();
    let output = place.run_train(&["--dry-run", "--steps", "5", "--json"]);
    succeeded(&output);
    let answer = events(&output.stdout).pop().unwrap();
    assert_eq!((answer["action"].as_str(), answer["made"].as_u64()), (Some("go-on"), Some(2)), "{answer}");
    assert!(answer["seconds"].as_f64().unwrap() > 0.0 && answer["step_s"].as_f64().unwrap() > 0.0, "{answer}");
    assert_eq!(fs::read(place.path("run/state")).unwrap(), before);
    refused(&place.run_train(&["--dry-run", "--steps", "5", "--seed", "3"]), 2, &["--seed was 0, it is 3"]);
}

/// What a killed run had told, up to the moment of its death.
#[derive(Default)]
struct Told {
    step: u32,
    saved: u32,
}

/// Starts a run, kills it after a while and gives what it had told, or none if it had ended by itself.
fn killed_after(place: &Place, arguments: &[String], pause: Duration) -> Option<u32> {
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let told = Arc::new(Mutex::new(Told::default()));
    let lines = BufReader::new(child.stdout.take().unwrap());
    let listener = std::thread::spawn({
        let told = told.clone();
        move || {
            for line in lines.lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
                let mut told = told.lock().unwrap();
                match (event["event"].as_str(), event["what"].as_str()) {
                    (Some("step"), _) => told.step = event["step"].as_u64().unwrap() as u32,
                    (Some("resumed"), _) => told.step = event["step"].as_u64().unwrap() as u32,
                    (Some("saved"), Some("state")) => told.saved = told.step,
                    _ => {}
                }
            }
        }
    });
    let end = Instant::now() + pause;
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    let saved = told.lock().unwrap().saved;
    match ended {
        Some(status) => {
            assert!(status.success(), "{status}");
            None
        }
        None => Some(saved),
    }
}

/// `PSEUDOWORD_KILLS=200 cargo test --release --test cli killed` kills that often.
#[test]
fn a_run_that_is_killed_again_and_again_ends_where_a_whole_one_does() {
    let kills: u32 = std::env::var("PSEUDOWORD_KILLS").map_or(12, |count| count.parse().unwrap());
    let place = Place::new();
    let settings = ["--steps", "60", "--eval-every", "7", "--save-every", "5", "--gradient-accumulation", "2"];
    let train = |out: &str| place.train(&[&settings[..], &["--out", out]].concat());
    let begun = Instant::now();
    succeeded(&place.run(&train("whole").iter().map(String::as_str).collect::<Vec<_>>()));
    let whole = begun.elapsed();
    let newest = |run: &Path| {
        let read = |name: &str| {
            let bytes = fs::read(run.join(name)).ok()?;
            // What is there under its name is whole: nobody dies with half a file published.
            Some(RunState::read(&bytes, name).unwrap().step())
        };
        read("state").into_iter().chain(read("state.prev")).max()
    };
    let (mut run, mut made, mut ends) = (0, 0, 0);
    let mut noise: u64 = 0x9E37_79B9_7F4A_7C15;
    while made < kills || ends == 0 {
        let name = format!("run{run}");
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Moments from the first instant to beyond the first steps; once enough are killed, the last may end.
        let pause = if made >= kills { whole * 100 } else { whole.mul_f64((noise >> 33) as f64 / (1u64 << 31) as f64) };
        match killed_after(&place, &train(&name), pause) {
            Some(reported) => {
                made += 1;
                let kept = newest(&place.path(&name));
                assert!(
                    kept.unwrap_or(0) >= reported,
                    "kill {made}: {kept:?} is older than {reported}, which was told"
                );
            }
            None => {
                assert_eq!(rows(&place, &name), rows(&place, "whole"), "run {run}, after {made} kills");
                let log = fs::read_to_string(place.path(&name).join("log.jsonl")).unwrap();
                let mut steps: Vec<u64> = log
                    .lines()
                    .map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line))
                    .filter(|entry| entry["event"] == "step")
                    .map(|entry| entry["step"].as_u64().unwrap())
                    .collect();
                steps.sort_unstable();
                steps.dedup();
                assert_eq!(steps, (1..=60).collect::<Vec<_>>(), "every step is in the log");
                (run, ends) = (run + 1, ends + 1);
            }
        }
    }
    println!("{made} kills, {ends} runs ended; a whole one takes {whole:?}");
}

/// A state that the program wrote at commit 66a0536, before its parts wrote themselves: `tests/fixtures/README.md` says
/// how.
#[test]
fn a_state_of_the_last_version_resumes_to_what_an_undisturbed_run_learns() {
    let place = Place::new();
    let picture = |name: &str| fs::read(format!("{}/{name}", peach())).unwrap();
    place.file("pictures/noto.png", &picture("noto.png"));
    place.file("pictures/flat.png", &picture("flat.png"));
    place.file("unseen/3d.png", &picture("3d.png"));
    // The model that was in the program then, under the name that it has there.
    copy(&place, &mini_f16(), "mini (built in)");
    // There were no masks then, nor plain backgrounds, made captions and the context loss, all timesteps were learned from, and two vectors: now that has
    // to be said.
    const THEN: &str =
        "--vectors 2 --masks off --backgrounds kept --timesteps 0..1000 --captions off --context-weight 0";
    let train = |model: &str, out: &str, more: &str| {
        let line = "train pictures --unseen unseen --token <p> --init apple --steps 6 --batch-size 1 --eval-size 2 \
                    --eval-every 2 --preview-every 0 --seed 7 --early-stop --early-stop-window 9";
        place.run(
            &line
                .split_whitespace()
                .chain(["--model", model, "--json", "--out", out])
                .chain(more.split_whitespace())
                .collect::<Vec<_>>(),
        )
    };
    let whole = train("mini (built in)", "whole", THEN);
    succeeded(&whole);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/run-state-66a0536");
    place.file("run/state", &fs::read(fixture).unwrap());
    let on_another = train("mini", "run", "--masks auto");
    assert_eq!(on_another.status.code(), Some(2));
    assert!(
        text(&on_another.stdout)
            .contains("changed: the model mini (built in): an update of this program brought another"),
        "{}",
        text(&on_another.stdout)
    );
    let resumed = train("mini (built in)", "run", "--masks auto");
    succeeded(&resumed);
    let evaluations = |output: &Output| -> Vec<(u64, f64)> {
        let of = events(&output.stdout).into_iter().filter(|event| event["event"] == "evaluation");
        of.map(|event| (event["step"].as_u64().unwrap(), event["loss"].as_f64().unwrap())).collect()
    };
    let rest: Vec<_> = evaluations(&whole).into_iter().filter(|(step, _)| *step >= 3).collect();
    let made = evaluations(&resumed);
    assert_eq!((made.len(), made[0].0), (8, 3), "{made:?}");
    // Another processor rounds differently: there the first three steps were made elsewhere.
    for ((step, was), (now_at, now)) in rest.iter().zip(&made) {
        assert!(step == now_at && (was / now - 1.0).abs() < 1e-5, "step {step}: {was} and {now}");
    }
    let read = |run: &str| read_word(&place.path(run).join("learned_embeds.safetensors")).rows().to_vec();
    // What is left open is as it was begun, though usual is another number of steps.
    place.file("open/state", &fs::read(fixture).unwrap());
    let line = "train pictures --unseen unseen --token <p> --init apple --batch-size 1 --eval-size 2 --eval-every 2 --preview-every 0 \
                --seed 7 --early-stop --early-stop-window 9 --out open --json --model";
    let open = place.run(&line.split_whitespace().chain(["mini (built in)"]).collect::<Vec<_>>());
    succeeded(&open);
    assert_eq!(evaluations(&open), made);
    let off = read("whole").iter().zip(read("run")).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-5, "{off}");
}
