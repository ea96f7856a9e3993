//! The options of `pseudoword collect`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct CollectArgs {
    /// Folders of runs, or folders with such folders
    #[arg(value_name = "RUNS", required = true)]
    pub folders: Vec<PathBuf>,
    /// The table to write: .csv or .json; the sheet is beside it, a PNG of the same name
    #[arg(long, short, value_name = "FILE", default_value = "collected.csv")]
    pub out: PathBuf,
    /// Write no sheet
    #[arg(long)]
    pub no_sheet: bool,
    /// Replace files that are there
    #[arg(long)]
    pub overwrite: bool,
}

pub(in crate::cli) const COLLECT_EXAMPLES: &str = "\
Examples:
  pseudoword collect runs/
  pseudoword collect runs/ more/ --out words.json --overwrite

A row for each word that has been learned, or is being learned, from what its
run has left in its folder: settings.json, report.json and the previews. No
model is loaded.";
