//! `--scratch`: a run works on a local disk, and its own folder gets whole files, from which another machine goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use pseudoword::train::RunState;

use crate::place::{Place, bits, read_word, succeeded, text};

const STEPS: [&str; 4] = ["--steps", "5", "--save-every", "2"];

/// A run in a scratch folder, with failures that are asked for.
fn scratched(place: &Place, failures: &str, run: &str, scratch: &str) -> Output {
    let arguments = place.train(&[&STEPS[..], &["--out", run, "--scratch", scratch]].concat());
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("PSEUDOWORD_FAILPOINTS", format!("every-step=on {failures}")).output().unwrap()
}

/// A folder for scratch folders.
fn disk(place: &Place, name: &str) -> PathBuf {
    fs::create_dir(place.path(name)).unwrap();
    place.path(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The only scratch folder on a disk.
fn only(disk: &Path) -> PathBuf {
    let mut folders = fs::read_dir(disk).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.next().unwrap();
    assert!(folders.next().is_none());
    folder
}

fn step(folder: &Path) -> u32 {
    RunState::read(&fs::read(folder.join("state")).unwrap(), "state").unwrap().step()
}

fn rows(place: &Place, run: &str) -> Vec<u32> {
    bits(read_word(&place.path(run).join("learned_embeds.safetensors")).rows())
}

#[test]
fn a_run_on_a_local_disk_leaves_what_one_in_its_own_folder_leaves() {
    let place = Place::new();
    let previews = ["--preview-every", "2", "--preview-steps", "1"];
    succeeded(&place.run_train(&[&STEPS[..], &previews, &["--out", "whole"]].concat()));
    let local = disk(&place, "local");
    let output = place.run_train(&[&STEPS[..], &previews, &["--scratch", "local"]].concat());
    succeeded(&output);
    assert_eq!(text(&output.stdout), "run/learned_embeds.safetensors\n");
    assert!(names(&local).is_empty());
    assert_eq!(names(&place.path("run")), names(&place.path("whole")));
    assert_eq!(names(&place.path("run/previews")), names(&place.path("whole/previews")));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
    let read = |run: &str, file: &str| fs::read(place.path(run).join(file)).unwrap();
    for file in ["state", "report.json", "settings.json", "previews/step-000002.png", "run.lock"] {
        assert!(read("run", file) == read("whole", file), "{file}");
    }
    let log = String::from_utf8(read("run", "log.jsonl")).unwrap();
    assert!(log.contains(r#""event":"done""#) && log.contains("run/previews/step-000002.png"), "{log}");
    assert!(!log.contains("local/"), "{log}");
    // A finished run is known as such.
    let output = place.run_train(&[&STEPS[..], &previews, &["--scratch", "local"]].concat());
    succeeded(&output);
    assert!(text(&output.stderr).contains("this run is finished"), "{}", text(&output.stderr));
    assert!(names(&local).is_empty());
}

#[test]
fn a_run_that_is_killed_goes_on_from_the_local_disk_or_on_another_machine() {
    let place = Place::new();
    succeeded(&place.run_train(&[&STEPS[..], &["--out", "whole"]].concat()));
    let local = disk(&place, "local");
    // The first state is published at once, the next one after a while; the last two die while they publish the first.
    for (run, failure, resumed, elsewhere) in [
        ("here", "step=die@3", 3, None),
        ("there", "step=die@3", 1, Some("other")),
        ("new", "state:rename=die@2", 1, None),
        ("newest", "log.jsonl:rename=die@1", 1, None),
    ] {
        let died = scratched(&place, failure, run, "local");
        assert_eq!(died.status.code(), None, "{run}: {}", text(&died.stderr));
        let left = only(&local);
        if failure == "step=die@3" {
            assert_eq!((step(&left), step(&place.path(run))), (3, 1), "{run}");
        } else {
            assert!(step(&left) == 1 && !place.path(run).join("state").exists(), "{run}");
        }
        if let Some(other) = elsewhere {
            disk(&place, other);
        }
        let output = scratched(&place, "", run, elsewhere.unwrap_or("local"));
        succeeded(&output);
        let said = text(&output.stderr);
        assert!(said.contains(&format!("resuming after step {resumed} of 5")), "{run}: {said}");
        assert_eq!(said.contains("going on from what was left in local"), elsewhere.is_none(), "{run}: {said}");
        assert_eq!(rows(&place, run), rows(&place, "whole"), "{run}");
        assert_eq!(step(&place.path(run)), 5, "{run}");
        assert!(names(&place.path(run)).iter().all(|name| !name.ends_with(".tmp")), "{run}");
        if elsewhere.is_some() {
            // What is left here is older now.
            let output = scratched(&place, "", run, "local");
            assert!(text(&output.stderr).contains("this run is finished"), "{}", text(&output.stderr));
            fs::remove_dir_all(&left).unwrap();
        }
        assert!(names(&local).is_empty(), "{run}");
    }
}

#[test]
fn a_run_that_starts_over_leaves_nothing_of_the_one_before_in_either_place() {
    let place = Place::new();
    let local = disk(&place, "local");
    let died = scratched(&place, "step=die@3", "run", "local");
    assert_eq!(died.status.code(), None);
    place.file("run/previews/step-000001.png", b"old");
    let arguments = [&STEPS[..], &["--scratch", "local", "--overwrite"]].concat();
    let output = place.run_train(&arguments);
    succeeded(&output);
    assert!(!text(&output.stderr).contains("resuming"), "{}", text(&output.stderr));
    assert!(names(&local).is_empty() && names(&place.path("run/previews")).is_empty());
    succeeded(&place.run_train(&[&STEPS[..], &["--out", "whole"]].concat()));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
}

#[cfg(unix)]
#[test]
fn a_run_that_cannot_publish_says_where_its_files_are_and_goes_on_from_there() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let place = Place::new();
    let local = disk(&place, "local");
    let long = ["--steps", "1000000", "--eval-every", "0", "--save-every", "0", "--scratch", "local"];
    let start = || {
        let arguments = place.train(&[&["--json"], &long[..]].concat());
        let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("PSEUDOWORD_FAILPOINTS", "every-step=on");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(r#""event":"step","step""#) || line.contains(r#""step":1,"#) {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0);
        }
        (child, lines)
    };
    let end = |(mut child, mut lines): (std::process::Child, BufReader<std::process::ChildStdout>)| {
        let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (mut rest, mut said) = (String::new(), String::new());
        lines.read_to_string(&mut rest).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    };
    let run = start();
    // The server of the run's folder goes away.
    fs::rename(place.path("run"), place.path("moved")).unwrap();
    fs::write(place.path("run"), "").unwrap();
    let (status, said) = end(run);
    assert_eq!(status, Some(7), "{said}");
    let left = only(&local);
    let shown = left.strip_prefix(place.path("")).unwrap().display().to_string();
    for part in ["cannot write run", "The embedding and the state of the run are in", &shown] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(left.join("learned_embeds.safetensors").exists());
    let reached = step(&left);
    fs::remove_file(place.path("run")).unwrap();
    fs::rename(place.path("moved"), place.path("run")).unwrap();
    let (status, said) = end(start());
    assert_eq!(status, Some(143), "{said}");
    assert!(said.contains(&format!("after step {reached}")) || step(&place.path("run")) > reached, "{said}");
    let word = read_word(&place.path("run/learned_embeds.safetensors"));
    assert_eq!(word.metadata["steps"], step(&place.path("run")).to_string());
    assert!(names(&local).is_empty());
}
