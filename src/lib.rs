//! Learns new words for Stable Diffusion (Textual Inversion, arXiv 2208.01618) and makes pictures with them, on the
//! user's own device: natively, and from the same engine in a browser tab.
//!
//! The rooms, in the order in which data moves:
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`source`] | files from where they are: a folder, memory, the web, the Hugging Face Hub |
//! | `mini` | the model in the binary (native programs only) |
//! | [`checkpoint`] | a model in a single file, seen as a folder |
//! | [`weights`] | safetensors to tensors, one at a time, every mismatch named |
//! | [`gpu`] | which device does the work, and why |
//! | [`image`] | pictures in (orientation, crop, alpha) and out (PNG with settings, sheets, curves) |
//! | [`ops`] | the operations that the models are made of, with their gradients; where speed lives |
//! | [`text`], [`unet`], [`vae`] | the frozen model: prompts to hidden states, noise prediction, pictures to latents and back |
//! | [`schedule`], [`noise`] | how noisy a timestep is; samplers; the one source of randomness |
//! | [`model`] | these together: a loaded Stable Diffusion model |
//! | [`plan`] | how much memory a job will need, said before it begins |
//! | [`embedding`] | a learned word as it is kept and exchanged: every format, read and written |
//! | `shelf` | the words that a user keeps (native programs only) |
//! | [`train`] | pictures become a word |
//! | [`sample`] | a prompt becomes pictures |
//! | [`session`] | the facade: open a model, add words, start jobs |
//! | `cli`, `web` | the front ends, which only render [`event`]s |
//!
//! [`config`] holds every setting with its one default, [`setting`] their names for sentences, [`event`] everything a
//! job says, [`error`] everything that can go wrong.
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
//! let word = job.embedding();
//! # Ok(())
//! # }
//! ```

#![recursion_limit = "256"]

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
#[cfg(target_family = "wasm")]
pub mod web;
pub mod weights;

pub use error::{Error, Result};
