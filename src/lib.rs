//! Textual Inversion for Stable Diffusion (arXiv 2208.01618): learns a new word from a few pictures, and makes pictures
//! with it, on the user's own device: natively, and from the same engine in a browser tab.
//!
//! ```no_run
//! use std::rc::Rc;
//! use pseudoword::{config::TrainConfig, session::Session, source::Folder, train::TrainInput};
//!
//! # async fn example(input: TrainInput) -> pseudoword::Result<()> {
//! let device = pseudoword::gpu::cpu();
//! let session = Session::open(Rc::new(Folder::new("models/mini")), &device, &mut |_| ()).await?;
//! let config = TrainConfig { token: "<my-cat>".into(), init: Some("cat".into()), ..TrainConfig::default() };
//! let mut job = session.train(&config, input)?;
//! while let Some(event) = job.next().await? {
//!     println!("{event:?}");
//! }
//! let embedding = job.embedding();
//! # Ok(())
//! # }
//! ```
//!
//! A job works only while its `next()` is awaited: not asking pauses it, dropping it cancels it, and there are no
//! threads or callbacks. Errors have a [`kind`](Error::kind) for programs and a sentence for people. Features: `native`
//! (default) is the command line, the built-in model and downloads; without it there is the engine alone, which is what
//! a browser loads. `docs/LIBRARY.md` has more, on stability too.
//!
//! The modules, from the ground up:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`noise`], [`layout`], [`parts`] | the one source of randomness; channels first or last; a model's parts and their files |
//! | [`config`], [`setting`] | every setting with its one default; their names in sentences |
//! | [`embedding`] | an embedding as it is kept and exchanged: every format, read and written |
//! | [`event`], [`error`] | everything that a job reports, and everything that can go wrong |
//! | [`ops`] | the operations that the models are made of, with their gradients; where speed lives |
//! | [`source`] | files from where they are: a folder, memory, the web, the Hugging Face Hub |
//! | [`gpu`] | which device does the work, and why |
//! | [`weights`] | safetensors to tensors, one at a time, every mismatch named |
//! | `mini`, `shelf` | the built-in model; the embeddings that a user keeps (native programs only) |
//! | [`image`] | pictures in (orientation, crop, alpha) and out (PNG with settings, sheets, curves) |
//! | [`schedule`] | how noisy a timestep is; samplers |
//! | [`text`], [`unet`], [`vae`] | the frozen model: prompts to hidden states, noise prediction, pictures to latents and back |
//! | [`checkpoint`] | a model in a single file, seen as a folder |
//! | [`model`] | these together: a loaded Stable Diffusion model |
//! | [`plan`] | how much memory a job will need, worked out before it starts |
//! | [`sample`] | a prompt becomes pictures |
//! | [`train`] | pictures become an embedding |
//! | [`session`] | the facade: open a model, add embeddings, start jobs |
//! | `bench` | how long steps take and what memory they need (native programs only) |
//! | `cli`, `web` | the front ends, which only render [`event`]s |

#![recursion_limit = "256"]
// What is printed passes `cli::output::terminal`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod base;
#[cfg(feature = "native")]
mod bench;
pub mod checkpoint;
#[cfg(feature = "native")]
pub mod cli;
pub mod config;
pub mod embedding;
pub mod error;
pub mod event;
mod formats;
pub mod gpu;
pub mod image;
pub mod layout;
#[cfg(feature = "native")]
pub mod mini;
pub mod model;
pub mod noise;
pub mod ops;
pub mod parts;
pub mod plan;
pub mod sample;
pub mod schedule;
pub mod session;
pub mod setting;
#[cfg(feature = "native")]
pub mod shelf;
pub mod source;
pub mod text;
pub mod train;
pub mod unet;
pub mod vae;
mod warning;
#[cfg(target_family = "wasm")]
pub mod web;
pub mod weights;

pub use error::{Error, Result};

/// The example of the guide is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/LIBRARY.md")]
pub struct Guide;
