//! Every embedding format against files of other programs, files that are wrong in every way we know, and itself.
//!
//! `corpus` makes the files, `INDEX.md` lists them, `rows` says what has to come of each. `golden` reads what torch,
//! safetensors and A1111's code wrote, and holds what we write against what they said about it (`golden.py`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod build;
mod corpus;
mod golden;
mod layouts;
mod memory;
mod mutations;
mod pairs;
mod roundtrip;
mod rows;

/// Where the repository begins.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
