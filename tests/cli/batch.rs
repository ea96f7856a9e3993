//! Lists of words: each is learned as it would be alone, whatever happens to the others and to the program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{Place, bits, events, peach, read_word, refused, succeeded, text, tiny};

/// A list of so many words on the tiny model, each with a seed of its own.
fn list(place: &Place, words: usize, steps: u32) -> String {
    let top = format!(
        "model = '{}'\nsteps = {steps}\nbatch-size = 1\neval-size = 2\npreview-every = 0\ninit = 'apple'\npictures = ['{}']\n",
        tiny(),
        peach()
    );
    let word = |index: usize| format!("\n[[word]]\ntoken = '<w{index}>'\nseed = {index}\n");
    place.file("words.toml", (top + &(0..words).map(word).collect::<String>()).as_bytes())
}

fn rows(place: &Place, folder: &str) -> Vec<u32> {
    bits(read_word(&place.path(folder).join("learned_embeds.safetensors")).rows())
}

fn json(place: &Place, file: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path(file)).unwrap()).unwrap()
}

/// What became of the words, by the events of a run with `--json`.
fn states(output: &Output) -> Vec<String> {
    let words = events(&output.stdout).into_iter().filter(|event| event["event"] == "word");
    words.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

/// How often a model was loaded.
fn loads(output: &Output) -> usize {
    let begun = events(&output.stdout).into_iter();
    begun.filter(|event| event["event"] == "load" && event["part"] == "unet" && event["done"] == event["total"]).count()
}

#[test]
fn the_words_of_a_list_are_those_that_are_learned_one_by_one_and_the_model_is_loaded_once() {
    let place = Place::new();
    list(&place, 3, 3);
    let output = place.run(&["train", "--batch", "words.toml", "--json"]);
    succeeded(&output);
    assert_eq!(states(&output), ["done"; 3]);
    assert_eq!(loads(&output), 1, "{}", text(&output.stdout));
    for index in 0..3_u64 {
        let (token, seed, alone) = (format!("<w{index}>"), index.to_string(), format!("alone{index}"));
        succeeded(&place.run_train(&["--token", &token, "--seed", &seed, "--out", &alone]));
        assert_eq!(rows(&place, &format!("runs/w{index}")), rows(&place, &alone), "{token}");
        let steps =
            events(&output.stdout).into_iter().filter(|event| event["event"] == "step" && event["index"] == index);
        assert_eq!(steps.inspect(|event| assert_eq!(event["token"], token)).count(), 3);
    }
    let report = json(&place, "runs/report.json");
    assert_eq!((&report["of"], &report["done"], &report["failed"]), (&3.into(), &3.into(), &0.into()));
    assert_eq!((&report["words"][2]["token"], &report["words"][2]["steps"]), (&"<w2>".into(), &3.into()));

    // Finished words cost nothing: no model is loaded.
    let again = place.run(&["train", "--batch", "words.toml", "--json"]);
    succeeded(&again);
    assert_eq!(states(&again), ["finished before"; 3]);
    assert_eq!(loads(&again), 0);
    // What is the same in the files is finished, too, whatever their times say; what differs is refused.
    fs::write(place.path("runs/w1/finished.json"), "{").unwrap();
    let again = place.run(&["train", "--batch", "words.toml", "--json"]);
    assert_eq!((states(&again), loads(&again)), (["finished before"; 3].map(str::to_owned).to_vec(), 1));
    fs::write(
        place.path("words.toml"),
        fs::read_to_string(place.path("words.toml")).unwrap().replace("seed = 1", "seed = 9"),
    )
    .unwrap();
    let other = place.run(&["train", "--batch", "words.toml"]);
    assert_eq!(other.status.code(), Some(9), "{}", text(&other.stderr));
    assert!(text(&other.stderr).contains("seed"), "{}", text(&other.stderr));
    let report = json(&place, "runs/report.json");
    let failed = &report["words"][1];
    assert_eq!((&failed["state"], &failed["code"]), (&"failed".into(), &2.into()), "{failed}");
}

#[test]
fn a_word_that_fails_does_not_stop_the_others_and_the_same_command_tries_it_again() {
    let place = Place::new();
    let file = list(&place, 3, 2);
    let bad = place.file("bad/a.png", b"\x89PNG\r\n\x1a\nand nothing more");
    let text_of = fs::read_to_string(&file).unwrap();
    fs::write(&file, text_of.replace("seed = 1\n", &format!("seed = 1\npictures = ['{bad}']\n"))).unwrap();
    let output = place.run(&["train", "--batch", "words.toml", "--json"]);
    assert_eq!(output.status.code(), Some(9), "{}", text(&output.stderr));
    assert_eq!(states(&output), ["done", "failed", "done"]);
    let said = text(&output.stderr);
    assert!(said.contains("error: 1 of 3 words failed"), "{said}");
    assert!(json(&place, "runs/report.json")["words"][1]["reason"].as_str().unwrap().contains("a.png"));
    fs::copy(format!("{}/noto.png", peach()), &bad).unwrap();
    let output = place.run(&["train", "--batch", "words.toml", "--json"]);
    succeeded(&output);
    assert_eq!(states(&output), ["finished before", "done", "finished before"]);
}

#[test]
fn a_list_is_refused_as_a_whole_with_all_that_is_wrong() {
    let place = Place::new();
    place.file(
        "words.csv",
        format!(
            "pictures,token,init,steps\n{0},<a>,apple,2\nnowhere,<b>,apple,2\n{0},<c>,apple banana cherry orange lemon,2\n{0},<d>,apple,0\n",
            peach()
        )
        .as_bytes(),
    );
    let model = tiny();
    refused(
        &place.run(&["train", "--batch", "words.csv", "--model", &model]),
        3,
        &["words.csv", "1 (<b>)", "3 (<d>)", "--steps 0"],
    );
    let fixed =
        fs::read_to_string(place.path("words.csv")).unwrap().replace("nowhere", &peach()).replace(",0\n", ",2\n");
    fs::write(place.path("words.csv"), fixed).unwrap();
    let refusal = place.run(&["train", "--batch", "words.csv", "--model", &model]);
    refused(&refusal, 3, &["2 (<c>)", "tokens"]);
    assert!(!place.path("runs").exists(), "nothing was begun");
    // What would be lost, dropped or in each other's way is refused, too.
    let entry = |more: &str| format!("[[word]]\npictures = ['{}']\ntoken = '<t>'\n{more}\n", peach());
    for (text, part) in [
        (entry("out = '..'"), "name of a folder"),
        (entry("out = '.'"), "name of a folder"),
        (entry("") + &entry("token = '<u>'\nout = 't/inside'").replace("token = '<t>'\n", ""), "inside of that of 0"),
        (entry("dry-run = true"), "dry-run cannot stand in a list"),
        (entry("steps = nan"), "NaN"),
        (entry("seed = 2026-01-01"), "2026-01-01"),
        (entry("template = 'no.txt'\nunseen = ['nowhere']"), "no.txt"),
        (entry("init = 'nofile.safetensors'"), "nofile.safetensors"),
        ("record = 'x'\n".to_owned() + &entry(""), "one of its own"),
    ] {
        place.file("odd.toml", text.as_bytes());
        refused(&place.run(&["train", "--batch", "odd.toml", "--model", &model]), 3, &["odd.toml", part]);
    }
    refused(
        &place.run(&["train", "--batch", &place.file("a.csv", b"token;pictures\n"), "--model", &model]),
        3,
        &["commas"],
    );
    // What contradicts itself.
    refused(&place.run(&["train", "--batch", "nowhere.toml"]), 7, &["nowhere.toml"]);
    for more in [&["--token", "<x>"][..], &["photos"], &["--resume"], &["--shard", "1/1"], &["--index", "9"]] {
        let output = place.run(&[&["train", "--batch", "words.csv", "--model", &model], more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", text(&output.stderr));
    }
    let output = place.run(&["train", "photos", "--token", "<x>", "--index", "1"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_share_is_typed_or_told_by_the_engine() {
    let place = Place::new();
    list(&place, 4, 2);
    let learned =
        || (0..4).filter(|index| place.path(&format!("runs/w{index}/report.json")).exists()).collect::<Vec<_>>();
    succeeded(&place.run(&["train", "--batch", "words.toml", "--index", "2"]));
    assert_eq!(learned(), [2]);
    let output = place
        .command(&["train", "--batch", "words.toml", "--json"])
        .env("SLURM_ARRAY_TASK_ID", "0")
        .env("SLURM_JOB_ID", "77")
        .output();
    let output = output.unwrap();
    succeeded(&output);
    assert_eq!(learned(), [0, 2]);
    assert!(text(&output.stdout).contains("SLURM_ARRAY_TASK_ID"), "{}", text(&output.stdout));
    assert!(events(&output.stdout).iter().any(|event| event["event"] == "step" && event["job"] == "77"));
    succeeded(&place.run(&["train", "--batch", "words.toml", "--shard", "1/2"]));
    assert_eq!(learned(), [0, 1, 2, 3]);
    let report = json(&place, "runs/report.1-of-2.json");
    assert_eq!((&report["of"], &report["share"]), (&2.into(), &"1-of-2".into()));
    let output = place.run(&["train", "--batch", "words.toml", "--dry-run"]);
    succeeded(&output);
    assert_eq!(text(&output.stdout).matches("is finished").count(), 4, "{}", text(&output.stdout));
    // A word that fails alone ends with its own status.
    let file = place.path("words.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("seed = 3", "seed = 4")).unwrap();
    refused(&place.run(&["train", "--batch", "words.toml", "--index", "3"]), 2, &["seed"]);
}

/// How far the rows of two embeddings are apart at most.
fn apart(place: &Place, one: &str, other: &str) -> f32 {
    let read = |folder: &str| read_word(&place.path(folder).join("learned_embeds.safetensors")).rows().to_vec();
    let (one, other) = (read(one), read(other));
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn words_that_share_passes_are_what_they_are_without_and_each_event_says_whose_it_is() {
    let place = Place::new();
    list(&place, 5, 4);
    succeeded(&place.run(&["train", "--batch", "words.toml", "--out", "alone"]));
    for together in ["3", "auto", "99"] {
        let output =
            place.run(&["train", "--batch", "words.toml", "--together", together, "--out", together, "--json"]);
        succeeded(&output);
        assert_eq!((states(&output), loads(&output)), (["done"; 5].map(str::to_owned).to_vec(), 1), "{together}");
        let steps: Vec<u64> = events(&output.stdout)
            .into_iter()
            .filter(|event| event["event"] == "step")
            .inspect(|event| assert_eq!(event["token"], format!("<w{}>", event["index"])))
            .map(|event| event["index"].as_u64().unwrap())
            .collect();
        assert_eq!(steps.len(), 20);
        assert_ne!(steps[..4], [0; 4], "they are learned at the same time: {steps:?}");
        for index in 0..5 {
            let off = apart(&place, &format!("alone/w{index}"), &format!("{together}/w{index}"));
            // AdamW moves every number by 0.01 or so in each of the four steps.
            assert!(off < 1e-4, "{together}, word {index}: {off}");
        }
        let report = json(&place, &format!("{together}/report.json"));
        let order: Vec<u64> = (0..5).map(|at| report["words"][at]["index"].as_u64().unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 3, 4]);
        let again = place.run(&["train", "--batch", "words.toml", "--together", together, "--out", together, "--json"]);
        assert_eq!((states(&again), loads(&again)), (["finished before"; 5].map(str::to_owned).to_vec(), 0));
    }
    // People see whose line it is.
    let output = place.run(&["train", "--batch", "words.toml", "--together", "2", "--out", "people"]);
    succeeded(&output);
    let said = text(&output.stderr);
    assert!(said.contains("<w1>: learning <w1>") && said.contains("5 words: 5 done"), "{said}");
    for (arguments, status, part) in [
        (vec!["train", "--batch", "words.toml", "--together", "0"], 2, "a number from 1 to 1024, or auto"),
        (vec!["train", &peach(), "--token", "<w>", "--together", "2"], 2, "--together are of a list"),
    ] {
        refused(&place.run(&arguments), status, &[part]);
    }
}

#[test]
fn a_word_that_fails_beside_others_does_not_stop_them() {
    let place = Place::new();
    list(&place, 4, 4);
    let words = fs::read_to_string(place.path("words.toml")).unwrap();
    fs::write(place.path("words.toml"), words.replace("seed = 1", "seed = 1\nlr = 1e30")).unwrap();
    let output = place.run(&["train", "--batch", "words.toml", "--together", "4", "--json"]);
    assert_eq!(output.status.code(), Some(9), "{}", text(&output.stderr));
    let report = json(&place, "runs/report.json");
    let states: Vec<&str> = (0..4).map(|index| report["words"][index]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "failed", "done", "done"]);
    succeeded(&place.run_train(&["--token", "<w3>", "--seed", "3", "--steps", "4", "--out", "alone"]));
    assert!(apart(&place, "runs/w3", "alone") < 1e-4);
}

#[test]
fn words_that_do_not_fit_into_the_memory_together_go_on_with_fewer() {
    let place = Place::new();
    list(&place, 4, 4);
    succeeded(&place.run(&["train", "--batch", "words.toml", "--out", "alone"]));
    // In a shared step, and when a word is measured.
    for (failures, more) in [("step=gpu-memory@8", "eval-every=0"), ("step=gpu-memory@5", "eval-every=1")] {
        let (out, more) = (more.replace('=', ""), format!("--{more}"));
        // What is put aside is gone on with, also where everything is begun anew.
        let arguments =
            ["train", "--batch", "words.toml", "--together", "4", "--json", "--overwrite", "--out", &out, &more];
        let output = place.command(&arguments).env("PSEUDOWORD_FAILPOINTS", failures).output().unwrap();
        succeeded(&output);
        assert_eq!(states(&output), ["done"; 4]);
        let told = |event: &Value| {
            event["code"] == "memory" && event["text"].as_str().unwrap().contains("at most 2 words at the same time")
        };
        assert_eq!(events(&output.stdout).iter().filter(|event| told(event)).count(), 1, "{}", text(&output.stdout));
        // No step is made twice.
        let steps = events(&output.stdout).into_iter().filter(|event| event["event"] == "step").count();
        assert_eq!(steps, 16, "{failures}");
        (0..4).for_each(|index| assert!(apart(&place, &format!("{out}/w{index}"), &format!("alone/w{index}")) < 1e-4));
    }
    // A full memory is the end of one word, and not of those after it.
    let mut command = place.command(&["train", "--batch", "words.toml", "--json", "--out", "one"]);
    let output = command.env("PSEUDOWORD_FAILPOINTS", "step=gpu-memory@2").output().unwrap();
    assert_eq!((output.status.code(), states(&output).concat()), (Some(9), "faileddonedonedone".to_owned()));
    // What is seen before anything is loaded is told once, with less and less beside each other; alone, it is the error.
    let mut command = place.command(&["train", "--batch", "words.toml", "--together", "4", "--out", "none"]);
    let output = command.env("PSEUDOWORD_FAILPOINTS", "memory=full@1-99").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(said.matches("at the same time").count(), 2, "{said}");
    assert_eq!(output.status.code(), Some(9), "{said}");
}

#[test]
fn the_fastest_size_of_a_pass_is_found_although_words_end() {
    let place = Place::new();
    list(&place, 4, 30);
    let words = fs::read_to_string(place.path("words.toml")).unwrap();
    fs::write(place.path("words.toml"), words.replace("seed = 0", "seed = 0\nsteps = 2")).unwrap();
    let output = place.run(&["train", "--batch", "words.toml", "--together", "auto"]);
    succeeded(&output);
    assert_eq!(text(&output.stderr).matches("which was the fastest per word").count(), 1, "{}", text(&output.stderr));
}

/// `PSEUDOWORD_KILLS=50 cargo test --release --test cli list_that_is_killed` kills that often.
#[test]
#[cfg(unix)]
fn a_list_that_is_killed_again_and_again_ends_where_an_undisturbed_one_does() {
    let kills: u32 = std::env::var("PSEUDOWORD_KILLS").map_or(6, |count| count.parse().unwrap());
    let place = Place::new();
    list(&place, 10, 12);
    let begun = Instant::now();
    succeeded(&place.run(&["train", "--batch", "words.toml", "--out", "whole"]));
    let whole = begun.elapsed();
    let whole_rows: Vec<Vec<u32>> = (0..10).map(|index| rows(&place, &format!("whole/w{index}"))).collect();
    let (mut noise, mut killed, mut lists): (u64, u32, u32) = (0x9E37_79B9_7F4A_7C15, 0, 0);
    while killed < kills {
        let out = format!("list{lists}");
        let mut done = [0; 10];
        loop {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A list goes on from kill to kill: moments of a third of it let several hit one.
            let part = (noise >> 33) as f64 / (1u64 << 31) as f64 / 3.0;
            let pause = if killed < kills { whole.mul_f64(part) } else { whole * 100 };
            let mut command = place.command(&["train", "--batch", "words.toml", "--out", &out, "--json"]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let stdout = child.stdout.take().unwrap();
            let reader = std::thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok()).collect::<Vec<_>>()
            });
            let started = Instant::now();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if started.elapsed() >= pause {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                std::thread::sleep(Duration::from_millis(2));
            };
            for event in
                reader.join().unwrap().iter().filter(|event| event["event"] == "word" && event["state"] == "done")
            {
                done[event["index"].as_u64().unwrap() as usize] += 1;
            }
            match ended {
                Some(status) => {
                    assert!(status.success());
                    break;
                }
                None => killed += 1,
            }
        }
        assert!(done.iter().all(|count| *count <= 1), "a word is learned once: {done:?}");
        for (index, whole) in whole_rows.iter().enumerate() {
            assert_eq!(&rows(&place, &format!("{out}/w{index}")), whole, "word {index} of {out}, after {killed} kills");
        }
        lists += 1;
    }
    println!("{killed} kills, {lists} lists ended; a whole one takes {whole:?}");
}

/// Asks a list to stop when its second word has made a step; gives its report.
#[cfg(unix)]
fn asked_to_stop(place: &Place, more: &[&str]) -> Value {
    let mut command = place.command(&[&["train", "--batch", "words.toml", "--json"], more].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"event\":\"step\"") && line.contains("\"index\":1")));
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    json(place, "runs/report.json")
}

#[test]
#[cfg(unix)]
fn a_list_that_is_asked_to_stop_says_what_is_left_and_goes_on_there() {
    let place = Place::new();
    list(&place, 3, 400);
    let report = asked_to_stop(&place, &[]);
    let states: Vec<&str> = (0..3).map(|index| report["words"][index]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "stopped", "not begun"]);
    assert_eq!((&report["done"], &report["left"]), (&1.into(), &2.into()));
    let output = place.run(&["train", "--batch", "words.toml"]);
    succeeded(&output);
    assert!(text(&output.stderr).contains("resuming after step"), "{}", text(&output.stderr));
}

#[test]
#[cfg(unix)]
fn words_that_share_passes_are_all_saved_when_they_are_asked_to_stop() {
    let place = Place::new();
    list(&place, 3, 60);
    succeeded(&place.run(&["train", "--batch", "words.toml", "--out", "alone"]));
    let report = asked_to_stop(&place, &["--together", "2"]);
    let states: Vec<&str> = (0..3).map(|index| report["words"][index]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["stopped", "stopped", "not begun"]);
    // They go on alone or together, whichever is asked for.
    let output = place.run(&["train", "--batch", "words.toml", "--together", "3"]);
    succeeded(&output);
    assert_eq!(text(&output.stderr).matches("resuming after step").count(), 2, "{}", text(&output.stderr));
    (0..3).for_each(|index| assert!(apart(&place, &format!("runs/w{index}"), &format!("alone/w{index}")) < 2e-3));
}
