//! The options of `pseudoword prompt`.

use clap::Args;

use crate::config::PromptSyntax;

#[derive(Debug, Args)]
pub(in crate::cli) struct PromptArgs {
    /// What is to be read
    #[arg(value_name = "PROMPT", required = true)]
    pub prompts: Vec<String>,
    /// An embedding that prompts may name: a file, a folder, a web address or a repository (owner/name); =NAME renames it.
    /// Kept embeddings (see `embeddings`) need not be given
    #[arg(long = "embedding", short, value_name = "SOURCE[=NAME]")]
    pub embeddings: Vec<String>,
    /// The language that prompts are written in
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value_t = PromptSyntax::default())]
    pub prompt_syntax: PromptSyntax,
}

pub(in crate::cli) const PROMPT_EXAMPLES: &str = "\
Examples:
  pseudoword prompt \"a (red:1.3) apple on a [blue] hill BREAK noto style\"
  pseudoword prompt \"a <my-peach>++\" -e runs/my-peach --prompt-syntax compel
  pseudoword prompt \"a photo of a cat\" --model DIR --json

Tokens, stretches and weights are those that `generate` works with.";
