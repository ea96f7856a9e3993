//! What an earlier program left in a run's folder when it died, and clocks that jump: nothing of it touches the run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::place::{Place, bits, events, read_word, refused, succeeded, text};

fn rows(place: &Place, run: &str) -> Vec<u32> {
    bits(read_word(&place.path(run).join("learned_embeds.safetensors")).rows())
}

/// The program, after a shell script that has the same process number as the program will have.
fn after(script: &str, program: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script} && exec \"$@\""), "sh"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(program.get_current_dir().unwrap()).stdin(Stdio::null());
    command
}

#[cfg(unix)]
#[test]
fn unfinished_files_of_a_program_with_the_same_number_are_in_nobodys_way() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole"]));
    // Folders cannot be swept away as files are: their names stay taken.
    let script = r#"mkdir -p run/.state.$$-0.tmp run/.learned_embeds.safetensors.$$-0.tmp run/.probe.$$-0.tmp \
        && echo half | tee run/.state.$$-1.tmp run/.state.$$-2.tmp run/.state.1-0.tmp run/.log.jsonl.1-7.tmp \
            run/.learned_embeds.safetensors.$$-1.tmp > run/notes.tmp \
        && echo "{\"pid\":$$,\"host\":\"here\",\"since\":4102444800}" > run/run.lock"#;
    let arguments = place.train(&[]);
    let program = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    // The name is that of a process of another machine, which is listened for.
    let output = after(script, &program).env("PSEUDOWORD_FAILPOINTS", "impatient=on").output().unwrap();
    succeeded(&output);
    assert!(!text(&output.stderr).contains("cannot"), "{}", text(&output.stderr));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
    let entries = fs::read_dir(place.path("run")).unwrap().map(|entry| entry.unwrap());
    let left: Vec<_> = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".tmp")).collect();
    let (folders, files): (Vec<_>, Vec<_>) = left.iter().partition(|entry| entry.path().is_dir());
    assert_eq!(folders.len(), 3, "{left:?}");
    // A file of the user's own is none of ours, whatever it is called.
    assert_eq!(files.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(), ["notes.tmp"]);
    assert_eq!(fs::read(place.path("run/notes.tmp")).unwrap(), b"half\n");
}

/// Sets the times of everything in a folder.
fn date(folder: &Path, time: SystemTime) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        }
    }
}

/// The seconds of a run's log, which must never go back; gives the longest time between two entries.
fn longest_pause(place: &Place, run: &str) -> f64 {
    let log = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
    let elapsed: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect(line)["elapsed"].as_f64().expect(line))
        .collect();
    let pauses: Vec<f64> = elapsed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause >= 0.0), "time went back: {elapsed:?}");
    pauses.into_iter().fold(0.0, f64::max)
}

#[test]
fn files_from_the_future_and_from_long_ago_are_like_others() {
    let place = Place::new();
    succeeded(&place.run_train(&["--out", "whole", "--steps", "6"]));
    let died = |step: &str| {
        let arguments = place.train(&["--steps", "6"]);
        let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let points = format!("every-step=on step=die@{step}");
        assert_eq!(command.env("PSEUDOWORD_FAILPOINTS", points).output().unwrap().status.code(), None);
    };
    // The clock was far ahead when the run began, was set right, and then fell back to its beginning.
    died("2");
    date(&place.path("run"), SystemTime::now() + Duration::from_secs(20 * 365 * 86400));
    died("2");
    date(&place.path("run"), SystemTime::UNIX_EPOCH + Duration::from_secs(86400));
    let output = place.run_train(&["--steps", "6"]);
    succeeded(&output);
    assert!(text(&output.stderr).contains("resuming after step 4 of 6"), "{}", text(&output.stderr));
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
    longest_pause(&place, "run");
}

#[cfg(unix)]
#[test]
fn a_program_that_stands_still_for_a_while_goes_on_as_if_nothing_had_been() {
    let place = Place::new();
    let settings = ["--steps", "400", "--eval-every", "0", "--save-every", "0"];
    succeeded(&place.run_train(&[&["--out", "whole"], &settings[..]].concat()));
    let arguments = place.train(&[&["--json"], &settings[..]].concat());
    let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    // It is watched, with a second's patience.
    command.env("PSEUDOWORD_FAILPOINTS", "every-step=on watch-cpu=on watchdog=on");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(r#""step":3"#) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0);
    }
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    // Whoever comes meanwhile is told who is there, though that one began at a time that has not come yet.
    let mut holder: Value = serde_json::from_slice(&fs::read(place.path("run/run.lock")).unwrap()).unwrap();
    holder["since"] = 4_102_444_800_u64.into();
    place.file("run/run.lock", holder.to_string().as_bytes());
    refused(&place.run_train(&settings), 7, &[&format!("process {} on ", child.id()), ", started 0.0 s ago"]);
    std::thread::sleep(Duration::from_secs(2));
    signal("-CONT");
    let rest: Vec<u8> = lines.lines().flat_map(|line| (line.unwrap() + "\n").into_bytes()).collect();
    let output = child.wait_with_output().unwrap();
    succeeded(&output);
    let last = events(&rest).pop().unwrap();
    assert_eq!((last["event"].as_str(), last["steps"].as_u64()), (Some("done"), Some(400)), "{last}");
    assert_eq!(rows(&place, "run"), rows(&place, "whole"));
    let pause = longest_pause(&place, "run");
    assert!(pause > 1.9, "it never stood still: {pause}");
}
