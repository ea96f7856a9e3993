//! Who is told what, and what happens when somebody stops listening or presses Ctrl-C.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::place::{Place, events, read_word, text, tiny};

#[test]
fn results_go_to_one_stream_and_everything_else_to_the_other() {
    let place = Place::new();
    let output = place.run_train(&[]);
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let said = text(&output.stderr);
    assert!(said.contains("cpu: ") && said.contains("learning <p>") && said.contains("done: 3 steps"), "{said}");
    assert!(said.contains("learning with the captions beside the pictures") && !said.contains("warning"), "{said}");
    assert!(!said.contains('\u{1b}'), "escape codes off a terminal: {said:?}");
    let output = place.run_train(&["--quiet", "--overwrite"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("run/learned_embeds.safetensors\n", ""));
    let output = place.run(&["generate", "a cat", "--quiet", "--model", &tiny(), "--steps", "2"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out.png\n", ""));
}

/// Starts a run that would take hours and waits for its first step.
fn begun(place: &Place) -> (Child, BufReader<ChildStdout>) {
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
