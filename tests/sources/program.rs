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
fn a_model_and_a_word_come_from_a_repository_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let word = Embedding { token: "<thing>".to_owned(), width: 24, rows: vec![0.1; 24], metadata: Default::default() };
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
