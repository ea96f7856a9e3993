//! The options of `pseudoword captions`, and what captions `train` uses.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::config::Kind;

/// Which captions pictures are learned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum Captions {
    /// Those of .txt files beside the pictures, if every picture has one; else, with the mini model, made ones
    #[default]
    Auto,
    /// Those of the files; a picture without one is an error
    On,
    /// Captions that are made from the pictures: they say style and background where these are clear
    Made,
    /// None
    Off,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CaptionsArgs {
    /// PNG, JPEG or WebP files, or folders with such files
    #[arg(value_name = "PICTURES", required = true)]
    pub pictures: Vec<PathBuf>,
    /// Write this token where the word goes instead of {}, which every run reads as its own token
    #[arg(long)]
    pub token: Option<String>,
    /// A word that the model knows for the thing, as for `train`: the model is asked with it
    #[arg(long, value_name = "PHRASE")]
    pub init: Option<String>,
    /// What is to be learned: of a style, captions say only the background
    #[arg(long, value_enum, default_value_t = Kind::default())]
    pub kind: Kind,
    /// Decides the noise by which captions are compared
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Replace captions that are there
    #[arg(long)]
    pub overwrite: bool,
    /// Only print the captions, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

pub(in crate::cli) const CAPTIONS_EXAMPLES: &str = "\
Examples:
  pseudoword captions photos/ --init teapot --model DIR
  pseudoword captions examples/peach --init apple --dry-run
  pseudoword captions photos/cat.png --overwrite --json

A caption is written beside its picture (photo.txt beside photo.png). It says
what is clear of style and background, so that the word need not stand for
that. Read it, correct it, and `train` uses it.";
