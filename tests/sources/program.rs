//! The program against the played Hub: a model and a word from a repository, then both again without the network.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pseudoword::embedding::{Embedding, Layout, write};

use super::play::{Hub, REPO, check_cache};

/// The tiny model's files, by their paths in its folder.
fn model_files() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-sd1");
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            files.push((name, std::fs::read(&path).unwrap()));
        }
    }
    files
}

#[test]
fn a_model_that_this_machine_cannot_use_costs_its_configuration_and_no_weights() {
    let folder = tempfile::tempdir().unwrap();
    let files = model_files();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let hub = Hub::start(&files);
    let picture = format!("{}/examples/peach/flat.png", env!("CARGO_MANIFEST_DIR"));
    let run = |arguments: &[&str]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_pseudoword"))
            .args(arguments)
            .args(["--model", REPO, "--device", "cpu"])
            .current_dir(folder.path())
            .env("HF_ENDPOINT", &hub.api.url)
            .env("HF_HUB_CACHE", folder.path().join("hub"))
            .env("PSEUDOWORD_HOME", folder.path().join("home"))
            .output()
            .unwrap()
    };
    // Terabytes, even of a model this small.
    let train = ["train", &picture, "--token", "<p>", "--resolution", "2048", "--batch-size", "65536", "--out", "run"];
    let generate = ["generate", "a peach", "--width", "4096", "--height", "4096", "--count", "8192"];
    for arguments in [&train[..], &[&generate[..], &["--batch-size", "8192"]].concat()] {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(8), "{said}");
        for part in ["not enough memory", "are free", "try a smaller --"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert!(!folder.path().join("run").exists(), "nothing is left of a run that came to nothing");
    }
    // Nor does it take any to show how a prompt is read.
    let output = run(&["prompt", "a (peach:1.3)"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1.3"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(hub.api.requests("unet/config.json").len(), 1, "the second time it is there");
    assert!(hub.api.requests(".safetensors").is_empty(), "{:?}", hub.api.requests(".safetensors"));
    // What can be used is fetched as ever.
    let output = run(&["generate", "a peach", "--steps", "1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(hub.api.requests(".safetensors").len(), 3);
}

#[test]
fn a_model_and_a_word_come_from_a_repository_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let word = Embedding::new("<thing>", 24, vec![0.1; 24]);
    let mut files = model_files();
    files.push(("learned_embeds.bin".to_owned(), write(&word, Layout::Bin).unwrap()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let hub = Hub::start(&files);
    let run = |endpoint: &str, more: &[&str]| -> Output {
        let given = ["generate", "a <thing>", "--model", REPO, "--embedding", REPO, "--steps", "1", "--device", "cpu"];
        Command::new(env!("CARGO_BIN_EXE_pseudoword"))
            .args(given)
            .args(more)
            .current_dir(folder.path())
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HUB_CACHE", folder.path().join("hub"))
            .env("PSEUDOWORD_HOME", folder.path().join("home"))
            .output()
            .unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = run(&hub.api.url, &["--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(events.lines().any(|line| line.contains("\"event\":\"fetch\"")), "{events}");
    check_cache(folder.path(), &files);
    let first = std::fs::read(folder.path().join("out.png")).unwrap();
    drop(hub);

    let output = run("http://127.0.0.1:9", &["--offline", "--overwrite"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(std::fs::read(folder.path().join("out.png")).unwrap() == first);
    // What is not here is said to be so.
    let output = run("http://127.0.0.1:9", &["--offline", "--embedding", "somebody/else"]);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("somebody/else") && said(&output).contains("network is off"), "{}", said(&output));
}
