//! What `pseudoword bench` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::{Checkpointing, typed};

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// Timed repetitions of each measurement
    #[arg(long, value_parser = typed::count, value_name = "N", default_value_t = 20)]
    pub steps: u32,
    /// Samples in a training step; repeat the option to measure several
    #[arg(long, value_parser = typed::count, value_name = "B", default_values_t = [1, 4])]
    pub batch: Vec<u32>,
    /// Most seconds for each measurement; at least three repetitions are made
    #[arg(long, value_parser = typed::number, value_name = "S", default_value_t = 60.0)]
    pub seconds: f64,
    /// Recompute blocks in the backward pass to save memory
    #[arg(long, value_enum, default_value_t = Checkpointing::default())]
    pub checkpointing: Checkpointing,
    /// Side of the pictures in pixels [default: the model's own]
    #[arg(long, value_parser = typed::count, value_name = "PIXELS")]
    pub resolution: Option<u32>,
    /// Use random weights, which need no download
    #[arg(long, value_enum, value_name = "WHICH")]
    pub random: Option<RandomModel>,
    /// Also measure each operation of the U-Net
    #[arg(long)]
    pub ops: bool,
    /// Also take the time of each kernel of a step, by the GPU's own clock
    #[arg(long)]
    pub kernels: bool,
    /// Measure only what a step costs the host, on a device that computes nothing: launches, submissions, processor time
    #[arg(long, conflicts_with_all = ["steps", "seconds", "ops", "kernels", "report", "overwrite", "predict"])]
    pub host: bool,
    /// Measure nothing: print what steps take at the peak of GPUs that people have
    #[arg(long, conflicts_with_all = ["steps", "seconds", "ops", "kernels", "report", "overwrite"])]
    pub predict: bool,
    /// Measure all, and write it in one file to send, with what there is on this machine
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Replace the file of --report if it is there
    #[arg(long, requires = "report")]
    pub overwrite: bool,
}

/// Models with random weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum RandomModel {
    /// With the sizes of Stable Diffusion 1.5
    Sd1,
    /// As deep as Stable Diffusion 1.5 and an eighth as wide: what a step costs without its arithmetic
    Sd1Narrow,
    /// With the sizes of Stable Diffusion 2.1
    Sd2,
    /// With the sizes of SDXL
    Sdxl,
    /// With the sizes of --model, of which only configuration and tokenizer are read
    Model,
}
