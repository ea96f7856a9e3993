//! The engine against PyTorch, diffusers and transformers, on both devices.
//!
//! `tests/fixtures/` holds what those libraries computed and the pinned script that made it. Every comparison runs on
//! `cpu` (Burn's `flex` with our kernels), on the plain compositions, and on `gpu` (wgpu; Mesa's lavapipe where there
//! is no GPU).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod checkpoints;
mod comparing;
mod context;
mod describing;
mod diverging;
mod eight_bits;
mod fixtures;
mod folders;
mod fused;
mod gguf;
mod gguf_file;
mod halves;
mod kernels;
mod languages;
mod locating;
mod memory;
mod models;
mod ops;
mod prompts;
mod recomputing;
mod registering;
mod resuming;
mod sdxl;
mod statements;
mod submissions;
mod together;
mod tokenizer;
mod training;
mod trying;
mod tuning;
mod two_words;
