//! The corpus: files that are bad or odd, each with what has to come of it. Rows keep their numbers.

mod containers;
mod headers;
mod pickles;
mod pictures;
mod tensors;
mod zips;

use std::fmt::Write;
use std::sync::OnceLock;

use crate::build::*;

/// What has to come of a file.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// One word, of this name.
    Word(&'static str),
    /// One word, of this name, with a note that says this.
    Noted(&'static str, &'static str),
    /// Several words; without a choice, this refusal.
    Several(&'static str),
    /// A refusal of this kind, whose message says this.
    Refused(&'static str, &'static str),
}

/// A file of the corpus.
pub struct Case {
    /// The row of the table.
    pub row: u32,
    /// What is special about it.
    pub what: String,
    /// What the file is called.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// What has to come of it.
    pub outcome: Outcome,
}

struct Corpus(Vec<Case>);

impl Corpus {
    fn add(&mut self, row: u32, what: impl Into<String>, name: &'static str, bytes: Vec<u8>, outcome: Outcome) {
        self.0.push(Case { row, what: what.into(), name, bytes, outcome });
    }

    fn bin(&mut self, row: u32, what: impl Into<String>, bytes: Vec<u8>, outcome: Outcome) {
        self.add(row, what, "word.bin", bytes, outcome);
    }

    /// A torch file with a pickle and the usual data.
    fn pickle(&mut self, row: u32, what: impl Into<String>, pickle: Vec<u8>, outcome: Outcome) {
        self.bin(row, what, torch(&pickle, &bytes(&rows())), outcome);
    }

    fn header(&mut self, row: u32, what: impl Into<String>, header: &str, data: &[u8], outcome: Outcome) {
        self.add(row, what, "word.safetensors", safetensors(header.as_bytes(), data), outcome);
    }

    fn png(&mut self, row: u32, what: impl Into<String>, bytes: Vec<u8>, outcome: Outcome) {
        self.add(row, what, "word.png", bytes, outcome);
    }
}

/// Every file.
pub fn corpus() -> &'static [Case] {
    static CORPUS: OnceLock<Vec<Case>> = OnceLock::new();
    CORPUS.get_or_init(build)
}

fn build() -> Vec<Case> {
    let mut corpus = Corpus(Vec::new());
    containers::mistaken(&mut corpus);
    containers::containers(&mut corpus);
    zips::directories(&mut corpus);
    pickles::globals(&mut corpus);
    pickles::opcodes(&mut corpus);
    tensors::tensors(&mut corpus);
    tensors::layouts(&mut corpus);
    headers::headers(&mut corpus);
    headers::keys(&mut corpus);
    pictures::pictures(&mut corpus);
    corpus.0.sort_by_key(|case| case.row);
    corpus.0
}

/// The index of the corpus, as `INDEX.md` has it; `said` is what came of a file.
pub fn index(said: impl Fn(&Case) -> String) -> String {
    let mut index = String::from(
        "# The corpus of bad and odd files\n\n\
         Made by `corpus/`, checked by `rows.rs`. This file is written by `PSEUDOWORD_BLESS=1 cargo test --test formats\n\
         index` and checked by every run. Rows keep their numbers: 79 to 83, 86, 87 and 92 to 102 (weights of models,\n\
         pictures to train on) and 103 onwards are tested where those are read; 74 and 114 with the writing.\n\n\
         | row | file | what comes of it |\n| --- | --- | --- |\n",
    );
    for case in corpus() {
        let said = said(case).replace('|', "\\|");
        writeln!(index, "| {} | {} | {said} |", case.row, case.what).unwrap();
    }
    index
}
