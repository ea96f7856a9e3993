//! What `pseudoword train` takes.

use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::captions::Captions;
use crate::cli::train::{Shard, Together, TypedList};
use crate::config::TrainConfig;

#[derive(Debug, Args)]
pub(in crate::cli) struct TrainArgs {
    /// Pictures of the thing or style, 3 to 5 of them: PNG, JPEG or WebP files, or folders with such files
    #[arg(value_name = "PICTURES", required_unless_present_any = ["replay", "file", "batch"])]
    pub pictures: Vec<PathBuf>,
    /// What is learned, and how.
    #[command(flatten)]
    pub config: TrainConfig,
    /// Folder for the embedding, the log and the previews [default: runs/ and the letters of the token]
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub out: Option<PathBuf>,
    /// Work in a folder of its own in this one, on a local disk, and write only whole files to --out: the state every 30
    /// seconds or less often, everything at the end
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub scratch: Option<PathBuf>,
    /// Start over if the folder already holds a run, replacing its files
    #[arg(long, help_heading = "Files", conflicts_with = "resume")]
    pub overwrite: bool,
    /// Resume the run in the folder; fail if there is none. (An interrupted run also resumes when you repeat its
    /// command)
    #[arg(long, help_heading = "Files")]
    pub resume: bool,
    /// Take the options from the settings.json of a run; options on the command line override it
    #[arg(long = "config", id = "file", value_name = "FILE", help_heading = "Files")]
    pub settings: Option<PathBuf>,
    /// Learn many words: a list in TOML or CSV with the pictures, the token and any other option of each (docs/fleet.md).
    /// Each gets a folder of its own in --out. Options on the command line count for all of them
    #[arg(long, value_name = "FILE", help_heading = "Many words", conflicts_with_all = ["pictures", "token", "file", "resume", "record"])]
    pub batch: Option<PathBuf>,
    /// Only the word of the list with this number, counted from 0 [default: what SLURM, Kubernetes and other engines say
    /// in the environment]
    #[arg(long, value_name = "I", conflicts_with = "shard", help_heading = "Many words")]
    pub index: Option<usize>,
    /// Only a share of the list: of N shares, the one with this number, counted from 0 (words I, I + N, I + 2 N ...)
    #[arg(long, value_name = "I/N", help_heading = "Many words")]
    pub shard: Option<Shard>,
    /// Words of the list that are learned at the same time, in shared passes, so that a large GPU has enough to do; their
    /// results are as without it but for rounding. auto finds out what is fastest [default: 1]
    #[arg(long, value_name = "N", help_heading = "Many words")]
    pub together: Option<Together>,
    /// The list, and what was typed beside it.
    #[arg(skip)]
    pub list: Option<Rc<TypedList>>,
    /// Report what would happen, how much memory it needs and roughly how long it takes; makes two steps, writes
    /// nothing
    #[arg(long, help_heading = "Files")]
    pub dry_run: bool,
    /// When the GPU is lost: stop, or restart it once and resume
    #[arg(long, value_enum, default_value_t = OnDeviceLost::default(), help_heading = "Training")]
    pub on_device_lost: OnDeviceLost,
    /// Embeddings to use in captions and in the preview prompt: files, folders, web addresses or repositories; =NAME
    /// renames one
    #[arg(long = "embedding", short, value_name = "SOURCE[=NAME]", help_heading = "Files")]
    pub embeddings: Vec<String>,
    /// Captions to train with instead of the built-in ones: a text file, one per line, with {} for the token
    #[arg(long, value_name = "FILE", help_heading = "Pictures and captions")]
    pub template: Option<PathBuf>,
    /// The captions of the pictures: of .txt files beside them, with {} or the token in each; or made from the pictures
    #[arg(long, value_enum, default_value_t = Captions::default(), help_heading = "Pictures and captions")]
    pub captions: Captions,
    /// A folder with masks: files with the pictures' own names (kohya's conditioning_data_dir)
    #[arg(long, value_name = "DIR", help_heading = "Pictures and captions")]
    pub mask_folder: Option<PathBuf>,
    /// Other pictures of the same thing, held out from training; the loss on them is reported too
    #[arg(long, value_name = "PICTURES", help_heading = "Pictures and captions")]
    pub unseen: Vec<PathBuf>,
    /// Take every random choice from a file instead of the random number generator
    #[arg(long, value_name = "FILE", help_heading = "Comparing with other programs")]
    pub replay: Option<PathBuf>,
    /// Write every random choice to a file that --replay can read
    #[arg(long, value_name = "FILE", help_heading = "Comparing with other programs")]
    pub record: Option<PathBuf>,
}

/// What to do when the GPU is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum OnDeviceLost {
    /// End the run; repeating the command resumes it
    #[default]
    Stop,
    /// Restart the GPU once, and resume
    Resume,
}
