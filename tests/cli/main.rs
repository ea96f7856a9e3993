//! The program as a user meets it: exit statuses, what is said and where, and files that hold what was promised.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]
#![cfg(feature = "native")]

mod batch;
mod captions;
mod checkpoints;
mod collecting;
mod converting;
mod eight_bits;
mod faults;
mod generating;
mod gguf;
#[path = "../engine/gguf_file.rs"]
mod gguf_file;
mod help;
#[allow(dead_code, reason = "more than a few files need")]
#[path = "../image/jpeg/mod.rs"]
mod jpeg;
mod kernels;
mod languages;
mod learned_on;
mod leftovers;
mod like;
mod masks;
mod measuring;
mod models;
mod names;
mod pictures;
mod place;
mod prompts;
mod refusals;
mod repository;
mod resuming;
mod scratch;
mod sdxl;
mod serving;
mod strangers;
mod streams;
mod training;
mod trying;
mod two_words;
mod words;
