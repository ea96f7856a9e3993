//! What has to come of every file of the corpus, in what time, for how much memory.

use std::path::Path;
use std::time::{Duration, Instant};

use pseudoword::embedding::{Embedding, FileEmbedding, Reading, Refusal, read};

use crate::corpus::{Case, Outcome, corpus, index};
use crate::memory::peak;

/// Bytes that reading may take beyond the file itself.
const MEMORY: usize = 64 << 20;

/// The kind of a refusal.
fn kind(refusal: &Refusal) -> String {
    format!("{refusal:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

/// What a program does that wants one word.
fn outcome(case: &Case) -> Result<(FileEmbedding, Embedding), Refusal> {
    let word = read(&case.bytes, case.name)?.choose(None)?;
    let embedding = word.clone().into_embedding(None)?;
    Ok((word, embedding))
}

fn said(case: &Case) -> String {
    match outcome(case) {
        Ok((word, embedding)) => {
            let notes: Vec<String> = word.notes.iter().map(ToString::to_string).collect();
            let (token, vectors) = (&embedding.token, embedding.vectors());
            let sizes: Vec<String> = embedding.widths().iter().map(|width| format!("{vectors} x {width}")).collect();
            let word = format!("**read**: {token:?}, {}, {}", sizes.join(" + "), word.format);
            if notes.is_empty() { word } else { format!("{word}; note: {}", notes.join("; ")) }
        }
        Err(refusal) => format!("{}: {refusal}", kind(&refusal)),
    }
}

#[test]
fn every_row_has_its_outcome() {
    let mut wrong = Vec::new();
    for case in corpus() {
        let began = Instant::now();
        let (found, memory) = peak(|| outcome(case));
        let label = format!("row {}, {}", case.row, case.what);
        if memory > MEMORY {
            wrong.push(format!("{label}: {memory} bytes of memory"));
        }
        if began.elapsed() > Duration::from_secs(20) {
            wrong.push(format!("{label}: took {:?}", began.elapsed()));
        }
        let right = match (&found, case.outcome) {
            (Ok((word, embedding)), Outcome::Word(token)) => embedding.token == token && word.notes.is_empty(),
            (Ok((word, embedding)), Outcome::Noted(token, note)) => {
                embedding.token == token && word.notes.iter().any(|found| found.to_string().contains(note))
            }
            (Err(refusal @ Refusal::Several { .. }), Outcome::Several(says)) => refusal.to_string().contains(says),
            (Err(refusal), Outcome::Refused(name, says)) => kind(refusal) == name && refusal.to_string().contains(says),
            _ => false,
        };
        if !right {
            let found = found
                .map(|(word, _)| (word.token, word.notes))
                .map_err(|refusal| (kind(&refusal), refusal.to_string()));
            wrong.push(format!("{label}: expected {:?}, found {found:?}", case.outcome));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_message_breaks_a_line_or_a_terminal() {
    for case in corpus() {
        let said = said(case);
        assert!(!said.chars().any(char::is_control), "row {}, {}: {said:?}", case.row, case.what);
        assert!(said.len() < 600, "row {}, {}: {} bytes", case.row, case.what, said.len());
    }
}

#[test]
fn every_file_row_of_the_table_is_in_the_corpus() {
    let rows: Vec<u32> = corpus().iter().map(|case| case.row).collect();
    // 74 is about writing; 79 and 80 about the weights of models; 63 by width is the registering of words.
    for row in (1..=78).filter(|row| *row != 74).chain([84, 85, 88, 89, 90, 91]) {
        assert!(rows.contains(&row), "row {row}");
    }
}

#[test]
fn the_index_lists_the_corpus() {
    let path = Path::new(crate::ROOT).join("tests/formats/INDEX.md");
    let index = index(said);
    if std::env::var_os("PSEUDOWORD_BLESS").is_some() {
        std::fs::write(&path, &index).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(index.lines()).find(|(a, b)| a != b);
    assert!(committed == index, "run with PSEUDOWORD_BLESS=1 and look at what changed: {differs:?}");
}

#[test]
fn several_words_are_a_choice() {
    let bytes = crate::golden::fixture("two-words.bin");
    let Reading::Several(words) = read(&bytes, "two-words.bin").unwrap() else { panic!("one word") };
    assert_eq!(words.iter().map(|word| word.token.as_deref()).collect::<Vec<_>>(), [Some("<a>"), Some("<b>")]);
    let chosen = Embedding::read(&bytes, "two-words.bin", Some("<b>")).unwrap();
    assert_eq!((chosen.token.as_str(), chosen.vectors()), ("<b>", 2));
    let refusal = Embedding::read(&bytes, "two-words.bin", Some("<c>")).unwrap_err();
    assert_eq!(refusal.to_string(), "the file holds no embedding \"<c>\"; it holds \"<a>\", \"<b>\"");
}

#[test]
fn a_given_token_names_and_renames() {
    let raw = crate::golden::fixture("raw.pt");
    assert_eq!(Embedding::read(&raw, "raw.pt", None).unwrap_err(), Refusal::Unnamed);
    assert_eq!(Embedding::read(&raw, "raw.pt", Some("<mine>")).unwrap().token, "<mine>");
    let word = crate::golden::fixture("diffusers.bin");
    assert_eq!(Embedding::read(&word, "", Some("<mine>")).unwrap().token, "<mine>");
    let kohya = crate::golden::fixture("kohya.safetensors");
    assert_eq!(Embedding::read(&kohya, "", None).unwrap_err(), Refusal::Unnamed);
}

#[test]
fn a_word_for_two_encoders_keeps_both_parts() {
    let word = read(&crate::golden::fixture("sdxl.safetensors"), "sdxl.safetensors").unwrap().choose(None).unwrap();
    let widths: Vec<_> = word.encoders.iter().map(|part| (part.encoder.name(), part.width)).collect();
    assert_eq!(widths, [("clip_l", 32), ("clip_g", 40)]);
    let embedding = word.into_embedding(None).unwrap();
    assert_eq!((embedding.token.as_str(), embedding.vectors(), embedding.widths()), ("sdxl", 2, vec![32, 40]));
}

/// For `golden.py oracle`, into the folder PSEUDOWORD_WRITE.
#[test]
fn what_is_accepted_is_finite_and_written_if_asked() {
    let asked = std::env::var_os("PSEUDOWORD_WRITE").map(|folder| std::path::Path::new(&folder).join("corpus"));
    if let Some(folder) = &asked {
        std::fs::create_dir_all(folder).unwrap();
    }
    for (index, case) in corpus().iter().enumerate() {
        let Ok((word, embedding)) = outcome(case) else { continue };
        assert!(embedding.rows().iter().all(|value| value.is_finite()), "row {}, {}", case.row, case.what);
        let Some(folder) = &asked else { continue };
        let bits: String =
            embedding.rows().iter().map(|value| format!("{:08x}", value.to_bits().swap_bytes())).collect();
        let what = format!("row {}, {}", case.row, case.what);
        let about = serde_json::json!({ "what": what, "container": word.container.to_string(), "bits": bits });
        std::fs::write(folder.join(format!("{index}.file")), &case.bytes).unwrap();
        std::fs::write(folder.join(format!("{index}.json")), about.to_string()).unwrap();
    }
}
