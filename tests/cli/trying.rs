//! What a run says of its word when it ends: on the way, in `report.json`, and when its folder is inspected.

use std::fs;

use serde_json::Value;

use crate::place::{Place, events, succeeded, text};

/// As few steps as a word is tried after.
const ENOUGH: [&str; 6] = ["--steps", "50", "--eval-every", "0", "--save-every", "0"];

fn report(place: &Place, run: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path(run).join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_run_says_how_good_its_word_is_and_so_does_its_folder() {
    let place = Place::new();
    let output = place.run_train(&[&ENOUGH[..], &["--json"]].concat());
    succeeded(&output);
    let events = events(&output.stdout);
    let found: Vec<&Value> = events.iter().filter(|event| event["event"] == "quality").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let trying: Vec<&Value> = events.iter().filter(|event| event["event"] == "trying").collect();
    assert_eq!(trying.last().unwrap()["done"], trying.last().unwrap()["total"], "what was planned was made");
    let report = report(&place, "run");
    assert_eq!(&report["quality"], found[0]);
    assert_eq!((&report["steps"], &report["token"]), (&Value::from(50), &Value::from("<p>")));
    assert_eq!(report["losses"]["training"].as_array().unwrap().len(), 2, "{report}");
    assert!(report["verdict"]["gain"].is_number(), "{report}");
    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    assert!(log.contains("\"quality\"") && !log.contains("\"trying\""), "{log}");

    let inspected = place.run(&["inspect", "run", "--model", &crate::place::tiny()]);
    succeeded(&inspected);
    let told = text(&inspected.stdout);
    let said = report["quality"]["text"].as_str().unwrap();
    assert!(told.contains("how good") && told.contains(said), "{told}");
    assert!(told.contains("after step 50") && told.contains("after step 25"), "{told}");
    // The file of the word has it in short, also where the report is not beside it.
    assert!(told.lines().any(|line| line.trim_start().starts_with("quality ")), "{told}");
    let inspected = |file: &str| place.run(&["inspect", file, "--model", &crate::place::tiny()]);
    let beside = inspected("run/learned_embeds.safetensors");
    assert!(text(&beside.stdout).contains(said), "{beside:?}");
    fs::copy(place.path("run/learned_embeds.safetensors"), place.path("p.safetensors")).unwrap();
    let alone = inspected("p.safetensors");
    assert!(!text(&alone.stdout).contains("how good") && text(&alone.stdout).contains("  quality "), "{alone:?}");

    // Nothing is tried twice.
    let again = place.run_train(&ENOUGH);
    succeeded(&again);
    assert!(text(&again.stderr).contains("this run is finished"), "{}", text(&again.stderr));
}

#[test]
fn a_run_that_is_killed_before_its_word_was_tried_ends_with_the_same_files() {
    let place = Place::new();
    succeeded(&place.run_train(&[&ENOUGH[..], &["--out", "whole"]].concat()));
    let run = [&ENOUGH[..], &["--out", "killed"]].concat();
    let arguments = place.train(&run);
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let died = command.env("PSEUDOWORD_FAILPOINTS", "every-step=on state:folder=die@50").output().unwrap();
    assert_eq!(died.status.code(), None, "{}", text(&died.stderr));
    assert!(!place.path("killed/report.json").exists());
    let output = place.run_train(&run);
    succeeded(&output);
    assert!(text(&output.stderr).contains("resuming after step 50 of 50"), "{}", text(&output.stderr));
    for file in ["report.json", "learned_embeds.safetensors", "state"] {
        let [whole, killed] = ["whole", "killed"].map(|run| fs::read(place.path(run).join(file)).unwrap());
        assert!(whole == killed, "{file} differs");
    }
}

#[test]
fn without_a_trial_the_report_has_what_the_losses_say() {
    let place = Place::new();
    let output = place.run_train(&[&ENOUGH[..], &["--quality", "off"]].concat());
    succeeded(&output);
    assert!(!text(&output.stderr).contains("how good"), "{}", text(&output.stderr));
    let report = report(&place, "run");
    assert!(report["quality"].is_null() && report["verdict"]["text"].is_string(), "{report}");
    let inspected = place.run(&["inspect", "run", "--model", &crate::place::tiny()]);
    assert!(text(&inspected.stdout).contains("how good      the loss on the pictures"), "{inspected:?}");
}
