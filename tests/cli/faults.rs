//! Disks that fill, folders that vanish, signals, GPUs that fail, bugs: what was learned is kept, and what is said
//! helps.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Output, Stdio};

use pseudoword::embedding::Embedding;
use pseudoword::gpu;
use pseudoword::train::RunState;

use crate::place::{Place, bits, events, peach, read_word, refused, succeeded, text};

const LONG: [&str; 6] = ["--steps", "1000000", "--eval-every", "0", "--save-every", "0"];

fn failing(place: &Place, failures: &str, more: &[&str]) -> Output {
    let arguments = place.train(more);
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command
        .env("PSEUDOWORD_FAILPOINTS", format!("every-step=on {failures}"))
        .env("TMPDIR", place.path("tmp"))
        .output()
        .unwrap()
}

/// Starts a run and waits for a line that holds some text.
fn started(place: &Place, failures: &str, more: &[&str], until: &str) -> (Child, BufReader<ChildStdout>) {
    let arguments = place.train(&[&["--json"], more].concat());
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("PSEUDOWORD_FAILPOINTS", format!("every-step=on {failures}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut lines, until);
    (child, lines)
}

fn wait_for(lines: &mut BufReader<ChildStdout>, until: &str) -> String {
    let mut line = String::new();
    while !line.contains(until) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "ended before {until}");
    }
    line
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn state(place: &Place, run: &str) -> RunState {
    RunState::read(&fs::read(place.path(run).join("state")).unwrap(), "state").unwrap()
}

fn rows(place: &Place, run: &str) -> Vec<u32> {
    bits(read_word(&place.path(run).join("learned_embeds.safetensors")).rows())
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole", "--steps", "6"]));
    let points = "state:half=full@2-3 learned_embeds.safetensors:sync=broken log.jsonl:write=full@6-9";
    let output = failing(&place, points, &["--steps", "6", "--save-every", "2"]);
    succeeded(&output);
    let said = text(&output.stderr);
    for part in [
        "warning: cannot write run/state: ",
        "bytes are needed",
        "training continues in memory",
        "warning: cannot write run/learned_embeds.safetensors: input/output error",
        "the log is kept in memory",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
    assert_eq!(state(&place, "run").step(), 6);
    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    assert_eq!(events(log.as_bytes()).iter().filter(|entry| entry["event"] == "step").count(), 6, "{log}");
}

#[test]
fn a_word_that_cannot_be_written_for_a_while_is_told_of_once() {
    let place = Place::new();
    let points = "learned_embeds.safetensors:create=full@1-3 learned_embeds.safetensors:create=full@5-6";
    let output = failing(&place, points, &["--steps", "9", "--save-every", "1"]);
    succeeded(&output);
    let said = text(&output.stderr);
    assert_eq!(said.matches("warning: cannot write run/learned_embeds.safetensors").count(), 2, "{said}");
}

#[test]
fn a_disk_that_stays_full_leaves_the_word_elsewhere() {
    let place = Place::new();
    fs::create_dir(place.path("tmp")).unwrap();
    succeeded(&place.run_train(&["--out", "whole", "--steps", "5"]));
    let output = failing(
        &place,
        "state:create=full@3-7 learned_embeds.safetensors:create=full@1-4 loss.png:create=full@1-9",
        &["--steps", "5", "--save-every", "0"],
    );
    refused(
        &output,
        7,
        &["cannot write run/learned_embeds.safetensors (", " bytes): ", "no storage space", "make room"],
    );
    assert_eq!(state(&place, "run").step(), 2, "the last good state is as it was");
    let rescued = fs::read_dir(place.path("tmp")).unwrap().next().unwrap().unwrap().path();
    let [word, kept] = ["learned_embeds.safetensors", "state"].map(|name| fs::read(rescued.join(name)).unwrap());
    assert_eq!(bits(Embedding::read(&word, "rescued", None).unwrap().rows()), rows(&place, "whole"));
    // As the message says: make room, copy the state back, give the same command again.
    place.file("run/state", &kept);
    succeeded(&place.run_train(&["--steps", "5"]));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
}

#[test]
fn a_disk_that_is_read_only_from_some_moment_on_ends_the_same_way() {
    let place = Place::new();
    fs::create_dir(place.path("tmp")).unwrap();
    let points = "state:rename=read-only@2-999 learned_embeds.safetensors:create=read-only@1-4";
    let output = failing(&place, points, &["--save-every", "0"]);
    refused(&output, 7, &["read-only", "The embedding and the state of the run are in", "instead"]);
    // Nothing whole is ever given up for something that may not come.
    let kept = ["state", "state.prev"].into_iter().filter_map(|name| fs::read(place.path("run").join(name)).ok());
    assert!(kept.into_iter().any(|bytes| RunState::read(&bytes, "state").is_ok()));
}

#[cfg(unix)]
#[test]
fn a_folder_that_vanishes_is_made_again() {
    let place = Place::new();
    let (mut child, mut lines) = started(&place, "", &LONG, r#""what":"state""#);
    fs::rename(place.path("run"), place.path("moved")).unwrap();
    let line = wait_for(&mut lines, "folder-gone");
    assert!(line.contains("made again"), "{line}");
    wait_for(&mut lines, r#""what":"state""#);
    signal(&child, "-INT");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let word = read_word(&place.path("run/learned_embeds.safetensors"));
    assert_eq!(word.metadata["steps"], state(&place, "run").step().to_string());
    assert!(place.path("run/log.jsonl").exists() && place.path("moved/state").exists());
}

#[cfg(unix)]
#[test]
fn a_second_run_is_told_who_is_there_and_no_lock_outlives_its_run() {
    let place = Place::new();
    let (mut child, _lines) = started(&place, "", &LONG, r#""what":"state""#);
    let output = place.run_train(&LONG);
    refused(&output, 7, &["run is in use by another run", &format!("process {} on ", child.id()), "ago", "--out"]);
    refused(&place.run_train(&["--overwrite"]), 7, &["in use"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, _lines) = started(&place, "", &LONG, r#""event":"resumed""#);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What a process of another machine leaves in the file of a lock.
const ELSEWHERE: &str = r#"{"pid":12,"host":"elsewhere","boot":"x","id":7,"since":1,"beat":3}"#;

#[test]
fn a_folder_of_a_machine_that_is_gone_is_taken_over() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole", "--steps", "5"]));
    let died = failing(&place, "step=die@3", &["--steps", "5"]);
    assert_eq!(died.status.code(), None);
    place.file("run/run.lock", ELSEWHERE.as_bytes());
    place.file("run/.run.lock.5.tmp", b"of one that died when it took the folder over");
    let output = failing(&place, "impatient=on", &["--steps", "5"]);
    succeeded(&output);
    let said = text(&output.stderr);
    for part in [
        "run was left by process 12 on elsewhere, or is still used by it; listening for it for",
        "warning: the folder run was left by process 12 on elsewhere, which is not heard of: it is taken over",
        "resuming after step 3 of 5",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
    assert_eq!(fs::read(place.path("run/run.lock")).unwrap(), b"");
    assert!(!place.path("run/.run.lock.5.tmp").exists());
}

#[test]
fn a_run_whose_folder_was_taken_over_stops_and_touches_nothing() {
    let place = Place::new();
    let (mut child, mut lines) = started(&place, "", &LONG, r#""what":"state""#);
    // As another machine does it.
    place.file("run/other", ELSEWHERE.as_bytes());
    fs::rename(place.path("run/other"), place.path("run/run.lock")).unwrap();
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7), "{said}");
    assert!(said.contains("process 12 on elsewhere") && said.contains("has taken it over from this one"), "{said}");
    assert_eq!(fs::read_to_string(place.path("run/run.lock")).unwrap(), ELSEWHERE);
    for file in ["learned_embeds.safetensors", "loss.png", "report.json", "bug-report.json"] {
        assert!(!place.path("run").join(file).exists(), "{file}");
    }
    let steps = events(&rest).iter().filter(|event| event["event"] == "step").count();
    assert!(steps < 1000, "{steps} steps were made meanwhile");
}

#[cfg(unix)]
#[test]
fn listening_for_another_machine_can_be_interrupted() {
    let place = Place::new();
    place.file("run/run.lock", ELSEWHERE.as_bytes());
    let arguments = place.train(&LONG);
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening for it for 35 s") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
    }
    let begun = std::time::Instant::now();
    // Whoever starts these tests in the background has Ctrl-C ignored by all that they start.
    signal(&child, "-TERM");
    assert!(!child.wait().unwrap().success());
    assert!(begun.elapsed().as_secs() < 20);
    assert_eq!(fs::read_to_string(place.path("run/run.lock")).unwrap(), ELSEWHERE);
    assert!(!place.path("run/state").exists());
}

/// Whether this process ignores SIGHUP, as its children then do: it was started by `nohup`.
#[cfg(unix)]
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(unix)]
#[test]
fn each_signal_saves_and_has_its_own_status() {
    let place = Place::new();
    for (name, status) in
        [("INT", 130), ("TERM", 143), ("HUP", 129), ("USR1", if cfg!(target_os = "linux") { 138 } else { 158 })]
    {
        if name == "HUP" && hangups_are_ignored() {
            eprintln!("not tried: these tests run under nohup, and so would the program");
            continue;
        }
        let (mut child, mut lines) = started(&place, "", &[&LONG[..], &["--out", name]].concat(), r#""what":"state""#);
        signal(&child, &format!("-{name}"));
        let mut rest = Vec::new();
        lines.read_to_end(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{name}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("stopping after this step") && !said.contains("error"), "{said}");
        let last = events(&rest).pop().unwrap();
        assert_eq!(last["code"], status, "{last}");
        let word = read_word(&place.path(name).join("learned_embeds.safetensors"));
        assert_eq!(word.metadata["steps"], state(&place, name).step().to_string());
        assert!(!place.path(name).join("bug-report.json").exists(), "nothing failed");
    }
}

#[cfg(unix)]
#[test]
fn asked_twice_the_program_ends_at_once_and_the_state_is_whole() {
    let place = Place::new();
    let run = [&LONG[..], &["--out", "run"]].concat();
    // After its second step it would not come back for an hour.
    let (mut child, mut lines) = started(&place, "step=hang@2", &run, r#""step":2"#);
    wait_for(&mut lines, r#""what":"state""#);
    signal(&child, "-INT");
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("Ctrl-C again") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
    }
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(state(&place, "run").step(), 2);
    let (mut child, _lines) = started(&place, "", &run, r#""event":"resumed","step":2"#);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_bug_leaves_the_run_and_a_report_without_secrets() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole"]));
    let private = ["--preview-prompt", "my secret <p>", "--init", "apple"];
    let output = failing(&place, "step=panic@2", &private);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["internal error: a panic was asked for", "please report", "run/bug-report.json", "after step 2"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let report = fs::read_to_string(place.path("run/bug-report.json")).unwrap();
    for part in ["\"code\": 1", "\"steps\": 3", "\"step\": 2", "\"kind\": \"cpu\"", "pseudoword"] {
        assert!(report.contains(part), "{part:?} is not in {report}");
    }
    for secret in ["secret", "<p>", "apple", "flat.png", "peach/"] {
        assert!(!report.contains(secret), "{secret:?} is in {report}");
    }
    assert_eq!(state(&place, "run").step(), 2);
    succeeded(&place.run_train(&private));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
}

#[test]
fn too_many_steps_that_come_to_nothing_end_a_run() {
    let place = Place::new();
    let steps = ["--steps", "30", "--lr-schedule", "constant"];
    succeeded(&place.run_train(&[&["--record", "good", "--out", "good-run"], &steps[..]].concat()));
    let bytes = fs::read(place.path("good")).unwrap();
    let (size, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let (from, to) = header.info("noise").unwrap().data_offsets;
    let mut poisoned = bytes.clone();
    let step = (to - from) / 30;
    // Every second step: never five in a row, but more than one in twenty.
    for (i, noise) in poisoned[8 + size + from..8 + size + to].chunks_exact_mut(step).enumerate() {
        if i % 2 == 1 {
            noise.chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
        }
    }
    place.file("poisoned", &poisoned);
    let output = place.run_train(&[&["--replay", "poisoned"], &steps[..]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    for part in [
        "step 2 was skipped",
        "stopped at step 20",
        "10 of the last 200 steps",
        "--on-divergence rewind",
        "bug-report.json",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(rows(&place, "run").iter().all(|bits| f32::from_bits(*bits).is_finite()));
}

#[test]
fn a_device_that_never_answers_is_not_waited_for_for_ever() {
    let place = Place::new();
    let output = failing(&place, "watch-cpu=on watchdog=on step=hang@2", &["--steps", "5", "--json"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    for part in ["no answer for", "run the same command", "run/state", "run/bug-report.json"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(events(&output.stdout).pop().unwrap()["code"], 5);
    assert_eq!(state(&place, "run").step(), 2);
    succeeded(&place.run_train(&["--steps", "5"]));
}

/// One picture, for the GPU here may be a program.
fn on_the_gpu(place: &Place, failures: &str, more: &[&str]) -> Output {
    let picture = format!("{}/flat.png", peach());
    let quick = ["--device", "gpu", "--eval-size", "1", "--vectors", "1", "--no-flip"];
    let steps: &[&str] = if more.contains(&"--steps") { &[] } else { &["--steps", "2"] };
    let mut arguments = place.train(&[&quick[..], steps, more].concat());
    arguments[1] = picture;
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("PSEUDOWORD_FAILPOINTS", failures).output().unwrap()
}

#[test]
fn a_gpu_that_fails_is_an_error_with_advice_and_the_run_goes_on() {
    if gpu::choose(gpu::DeviceChoice::Gpu).is_err() {
        eprintln!("skipped: no adapter on this machine");
        return;
    }
    let place = Place::new();
    for (failure, parts) in [
        ("gpu-lost", ["the GPU was lost", "start again to resume", "--device cpu"]),
        ("gpu-invalid", ["a GPU command was invalid", "too large", "please report"]),
    ] {
        let output = on_the_gpu(&place, &format!("step={failure}@1"), &["--out", failure]);
        refused(&output, 5, &parts);
        let said = text(&output.stderr);
        assert!(said.contains("bug-report.json") && !said.contains("panic"), "{said}");
        let report = fs::read_to_string(place.path(failure).join("bug-report.json")).unwrap();
        assert!(report.contains("\"adapter\": \"AdapterInfo") && report.contains("max_buffer_size"), "{report}");
        assert_eq!(state(&place, failure).step(), 1);
    }
    // The same command goes on; and where it is asked for, a run goes on by itself.
    succeeded(&on_the_gpu(&place, "", &["--out", "gpu-lost"]));
    let output = on_the_gpu(&place, "step=gpu-lost@1", &["--out", "again", "--on-device-lost", "resume"]);
    succeeded(&output);
    assert!(text(&output.stderr).contains("The GPU is restarted, once"), "{}", text(&output.stderr));
    // Both end where a run ends that nothing happened to.
    succeeded(&on_the_gpu(&place, "", &["--out", "whole"]));
    let rows = |run: &str| read_word(&place.path(run).join("learned_embeds.safetensors")).rows().to_vec();
    let whole = rows("whole");
    for run in ["gpu-lost", "again"] {
        let off = whole.iter().zip(rows(run)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= 1e-6, "{run}: {off}");
        assert_eq!(state(&place, run).step(), 2);
    }
    // Only once: a device that goes away again is told of, and what was learned until then is there.
    let more = ["--out", "twice", "--on-device-lost", "resume", "--steps", "3"];
    let output = on_the_gpu(&place, "step=gpu-lost@1-2", &more);
    refused(&output, 5, &["the GPU was lost", "start again to resume"]);
    assert_eq!(state(&place, "twice").step(), 2);
}

#[test]
fn a_full_memory_is_told_with_advice() {
    let place = Place::new();
    let output = failing(&place, "step=gpu-memory@2", &[]);
    refused(&output, 5, &["the GPU's memory is full (not enough memory left)", "--batch-size 1", "--checkpointing on"]);
    assert_eq!(state(&place, "run").step(), 2);
    assert!(place.path("run/bug-report.json").exists());
}
