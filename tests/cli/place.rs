//! A folder to run the program in, and readers of what it leaves there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use pseudoword::embedding::Embedding;
use serde_json::Value;

/// Four pictures with captions.
pub fn peach() -> String {
    format!("{}/examples/peach", env!("CARGO_MANIFEST_DIR"))
}

/// The folder of what other programs computed, and of the models that they computed it with.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The mini model in f16, of which the one in the program was made.
pub fn mini_f16() -> String {
    fixtures().join("mini-f16").display().to_string()
}

/// A model with random weights, a few thousand of them.
pub fn tiny() -> String {
    static NEWER: LazyLock<PathBuf> = LazyLock::new(|| {
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newer/tiny-sd1");
        copy_model(&to);
        to
    });
    NEWER.display().to_string()
}

/// Copies the tiny model, whose configuration is of a version of diffusers whose sides mean nothing (it would make
/// pictures of 128 pixels), and makes it one of a newer version, so that its pictures have 16.
pub fn copy_model(to: &Path) {
    let from = fixtures().join("tiny-sd1");
    for folder in ["", "scheduler", "text_encoder", "tokenizer", "unet", "vae"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    let config = fs::read_to_string(to.join("unet/config.json")).unwrap();
    fs::write(to.join("unet/config.json"), config.replace("\"0.6.0\"", "\"0.10.0\"")).unwrap();
}

/// A place of its own for each test.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
        self.path(name).display().to_string()
    }

    /// The program, to be run here; on the processor unless the arguments say otherwise, or need no device.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pseudoword"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
        let computes =
            arguments.first().is_some_and(|first| ["train", "generate", "captions", "bench", "doctor"].contains(first));
        if computes && !["--device", "--host", "--predict", "--kernels"].iter().any(|other| arguments.contains(other)) {
            command.args(["--device", "cpu"]);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A quick run on the tiny model with more arguments.
    pub fn train(&self, more: &[&str]) -> Vec<String> {
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

    pub fn run_train(&self, more: &[&str]) -> Output {
        let arguments = self.train(more);
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Asserts an exit status and that the message, the last line of standard error, holds each of some parts.
#[track_caller]
pub fn refused(output: &Output, status: i32, parts: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "one message: {said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[track_caller]
pub fn succeeded(output: &Output) {
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
}

/// The events of a `--json` run.
#[track_caller]
pub fn events(output: &[u8]) -> Vec<Value> {
    let events: Vec<Value> = text(output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(events.iter().all(|event| event["event"].is_string()), "{events:?}");
    events
}

pub fn read_word(path: &Path) -> Embedding {
    Embedding::read(&fs::read(path).unwrap(), "test", None).unwrap()
}

pub fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|value| value.to_bits()).collect()
}
