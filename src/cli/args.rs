//! The commands and options. Every setting of a job comes from [`crate::config`]; the rest is here.

mod bench;
mod captions;
mod collect;
mod prompt;
mod train;

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

pub(super) use self::bench::{BenchArgs, RandomModel};
pub(super) use self::captions::{CAPTIONS_EXAMPLES, Captions, CaptionsArgs};
pub(super) use self::collect::{COLLECT_EXAMPLES, CollectArgs};
pub(super) use self::prompt::{PROMPT_EXAMPLES, PromptArgs};
pub(super) use self::train::{OnDeviceLost, TrainArgs};
use super::exit::{Next, STATUSES};
use crate::config::SampleConfig;
use crate::embedding::Layout;
use crate::gpu::{DeviceChoice, Precision};
use crate::setting::Setting;

/// Learn new words for Stable Diffusion from a few pictures (Textual Inversion), and make pictures with them
#[derive(Debug, Parser)]
#[command(name = "pseudoword", version, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = overview())]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(super) command: Command,
    /// The options of every command.
    #[command(flatten)]
    pub(super) shared: Shared,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Every command")]
pub(super) struct Shared {
    /// The device to compute on: auto (a hardware GPU if there is one, else the processor), cpu, gpu (the best one, even
    /// if it is software), or one of several GPUs by its number in `doctor` (gpu:1) or its PCI address (gpu:0000:41:00.0)
    #[arg(long, global = true, value_name = "DEVICE", default_value_t = DeviceChoice::default())]
    pub device: DeviceChoice,
    /// In which precision matrix products may be made on a GPU: f16 keeps sums in f32 and is refused where the GPU has no
    /// way to do it
    #[arg(long, global = true, value_enum, value_name = "HOW", default_value_t = Precision::default())]
    pub precision: Precision,
    /// A Stable Diffusion model: a folder in the diffusers layout, a single .safetensors or .gguf file, or a
    /// repository on the Hugging Face Hub (owner/name, or owner/name/FILE for a single file in one) [default: mini, the model in this program]
    #[arg(long, global = true, value_name = "DIR|FILE|REPO")]
    pub model: Option<PathBuf>,
    /// For a model in a single file: the folder or repository to take its configuration and tokenizer from
    #[arg(long, global = true, value_name = "DIR|REPO")]
    pub base: Option<PathBuf>,
    /// For a model in a single file: what it predicts [default: what the file says, or what is usual for its family]
    #[arg(long, global = true, value_enum, value_name = "TYPE")]
    pub prediction_type: Option<Prediction>,
    /// How weights are stored in memory [default: auto]
    #[arg(long, global = true, value_enum, value_name = "HOW", default_value_t = WeightStorage::default(), hide_default_value = true)]
    pub weights: WeightStorage,
    /// Do not use the network, only what is already on this machine
    #[arg(long, global = true)]
    pub offline: bool,
    /// Print every event as JSON on standard output, one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only the result and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// What a U-Net predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Prediction {
    /// The noise
    Epsilon,
    /// The velocity, as most Stable Diffusion 2.x models do
    VPrediction,
}

/// How weights are stored in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WeightStorage {
    /// Small models in f32; others in f16 on a GPU, and as in the file on the CPU; narrower where that does not fit
    #[default]
    Auto,
    /// As in the file
    File,
    /// In eight bits, which takes little more than half the memory of f16; the autoencoder in half precision
    Q8,
    /// In half precision, which takes half the memory of f32; what is in eight bits in the file stays so
    F16,
    /// In single precision
    F32,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Learn an embedding from pictures
    #[command(after_help = TRAIN_EXAMPLES, allow_negative_numbers = true, args_override_self = true)]
    Train(Box<TrainArgs>),
    /// Make pictures from prompts that use learned embeddings
    #[command(after_help = GENERATE_EXAMPLES, allow_negative_numbers = true)]
    Generate(Box<GenerateArgs>),
    /// Make captions for pictures, to learn with: they say what a word need not stand for
    #[command(after_help = CAPTIONS_EXAMPLES)]
    Captions(CaptionsArgs),
    /// Make one table and one sheet of pictures of many runs
    #[command(after_help = COLLECT_EXAMPLES)]
    Collect(CollectArgs),
    /// Show how a prompt is understood: its tokens, stretches and weights, and the embeddings in it
    #[command(after_help = PROMPT_EXAMPLES)]
    Prompt(PromptArgs),
    /// Describe embeddings: what is in the file, and which of the model's own words are closest
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Convert an embedding to the format of another program
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert(ConvertArgs),
    /// Keep embeddings, to use them in prompts by name
    #[command(after_help = EMBEDDINGS_EXAMPLES)]
    Embeddings {
        /// The command.
        #[command(subcommand)]
        command: EmbeddingsCommand,
    },
    /// Describe the built-in model, or the one given with --model; or convert one
    #[command(after_help = MODELS_EXAMPLES)]
    Models {
        /// The command.
        #[command(subcommand)]
        command: Option<ModelsCommand>,
    },
    /// Report what this machine offers, what would be used, and whether it computes correctly
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Measure the time and the memory of training and denoising steps
    #[command(after_help = BENCH_EXAMPLES, allow_negative_numbers = true)]
    Bench(BenchArgs),
    /// Serve the web page to browsers on this machine
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The folder with the page [default: dist, or the current folder]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Port on the loopback address; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub port: u16,
}

#[derive(Debug, Clone, Args)]
pub(super) struct GenerateArgs {
    /// What the pictures should show
    #[arg(value_name = "PROMPT", required_unless_present = "like")]
    pub prompts: Vec<String>,
    /// A picture to take the prompt and the settings from, as its file says how it was made (this program's, A1111's and
    /// Forge's PNG, JPEG or WebP files); what is given by hand counts instead
    #[arg(long, value_name = "PICTURE", help_heading = "Embeddings and files")]
    pub like: Option<PathBuf>,
    /// An embedding to use in prompts by its token: a file, a folder, a web address or a repository (owner/name);
    /// =NAME renames it. Kept embeddings (see `embeddings`) need not be given
    #[arg(long = "embedding", short, value_name = "SOURCE[=NAME]", help_heading = "Embeddings and files")]
    pub embeddings: Vec<String>,
    /// Make one sheet of all pictures, each beside the same without the embeddings
    #[arg(long, help_heading = "Embeddings and files")]
    pub compare: bool,
    /// A PNG file, a folder, or - for standard output [default: out.png; numbered if there are several]
    #[arg(long, short, value_name = "FILE|DIR|-", help_heading = "Embeddings and files")]
    pub out: Option<PathBuf>,
    /// Replace existing files instead of using the next free number
    #[arg(long, help_heading = "Embeddings and files")]
    pub overwrite: bool,
    /// Start from this noise: safetensors with the tensor `latents` [n, 4, height/8, width/8], F32
    #[arg(long, value_name = "FILE", help_heading = "Comparing with other programs")]
    pub latents: Option<PathBuf>,
    /// How pictures are made.
    #[command(flatten)]
    pub config: SampleConfig,
    /// The settings of [`config`](Self::config) that were typed.
    #[arg(skip)]
    pub typed: Vec<Setting>,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Files, folders, web addresses, repositories (owner/name) or names of kept embeddings
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// A file, a folder, a web address, a repository (owner/name) or the name of a kept embedding; =NAME renames it, or
    /// picks one of several
    #[arg(value_name = "SOURCE[=NAME]")]
    pub input: String,
    /// The file to write: .safetensors and .bin are for diffusers, .pt is for A1111, .pti for Replicate, unless --format says
    /// otherwise
    #[arg(value_name = "FILE")]
    pub output: PathBuf,
    /// The program the file is for
    #[arg(long, value_enum)]
    pub format: Option<Layout>,
    /// Replace an existing file
    #[arg(long)]
    pub overwrite: bool,
}

/// By hand: the engine has the names, and the help is only for here.
impl ValueEnum for Layout {
    fn value_variants<'a>() -> &'a [Self] {
        &Layout::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Layout::Safetensors => {
                "learned_embeds.safetensors of diffusers; ComfyUI and InvokeAI read it too. For SDXL, the file with clip_l and \
                 clip_g that every program reads"
            }
            Layout::Bin => "learned_embeds.bin of diffusers",
            Layout::A1111 => "A1111's .pt",
            Layout::Kohya => "kohya's .safetensors",
            Layout::Pair => "diffusers' two files for SDXL: the second gets _2 after its name",
            Layout::Replicate => "Replicate's embeddings.pti for SDXL, and special_params.json beside it",
        };
        Some(PossibleValue::new(self.key()).help(help))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Write a model with its weights in eight bits (or in f16), half as large, to be used as any other
    Convert(ConvertModelArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConvertModelArgs {
    /// The model: as for --model
    #[arg(value_name = "MODEL")]
    pub input: PathBuf,
    /// The folder to write; what was begun there is continued
    #[arg(value_name = "DIR")]
    pub output: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum EmbeddingsCommand {
    /// Keep an embedding
    Add {
        /// A file, a folder, a web address or a repository (owner/name); =NAME renames it
        #[arg(value_name = "SOURCE[=NAME]")]
        source: String,
        /// Replace a kept embedding of the same name; the old file is set aside
        #[arg(long)]
        overwrite: bool,
    },
    /// List the kept embeddings
    List,
    /// Stop keeping an embedding; its file is set aside, not deleted
    Remove {
        /// Its name
        token: String,
    },
    /// Describe a kept embedding
    Show {
        /// Its name
        token: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Benchmark the tiles of matrix products, and test products in f16, again; otherwise that is done once for each GPU
    /// and driver
    #[arg(long)]
    pub retune: bool,
    /// Write every compute kernel in every form that may be launched, as WGSL and as SPIR-V, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with = "retune")]
    pub kernels: Option<PathBuf>,
}

// Lines of at most 78 characters: longer ones break in a terminal of 80.

const TRAIN_EXAMPLES: &str = "\
Examples:
  pseudoword train examples/peach --token \"<my-peach>\" --init apple
  pseudoword train photos/ --token \"<my-teapot>\" --init teapot --model DIR
  pseudoword train art/ --token \"<my-style>\" --kind style --vectors 4
  pseudoword train photos/ --token \"<fox>\" --init cat \\
      --second-token \"<ink>\" --second-init drawing

In the folder of a run: learned_embeds.safetensors (the embedding, as
diffusers writes it; of two words a file for each, by its token), log.jsonl,
previews/, previews.png and loss.png; the rest is explained in README.txt
there. Ctrl-C finishes the step and saves; a
second one stops at once. Repeating the command resumes the run.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  PEACH=runs/my-peach/learned_embeds.safetensors
  pseudoword generate \"a <my-peach> on a blue background\" -e $PEACH
  pseudoword generate \"a <my-peach>\" \"a pink <my-peach>\" -e $PEACH --compare
  pseudoword generate \"a <fruit>\" -e $PEACH=\"<fruit>\" --count 4 --out fruit/
  pseudoword generate \"an apple\" --seed 7 --out - > apple.png";

const INSPECT_EXAMPLES: &str = "\
Examples:
  pseudoword inspect runs/my-peach/learned_embeds.safetensors
  pseudoword inspect some.pt other.bin --model MODEL --json
  pseudoword inspect sd-concepts-library/midjourney-style --model MODEL

Nothing in a file is ever executed.";

const CONVERT_EXAMPLES: &str = "\
Examples:
  pseudoword convert old.bin new.safetensors
  pseudoword convert runs/my-peach my-peach.pt
  pseudoword convert style.pt=\"<my-style>\" style.safetensors";

const EMBEDDINGS_EXAMPLES: &str = "\
Examples:
  pseudoword embeddings add runs/my-peach
  pseudoword embeddings add https://example.org/style.pt=\"<style>\"
  pseudoword generate \"a <my-peach> in <style> style\"
  pseudoword embeddings list

They are kept in the folder `words` of PSEUDOWORD_HOME or, if that is not
set, in the user's data folder (on Linux ~/.local/share/pseudoword/words).";

const MODELS_EXAMPLES: &str = "\
Examples:
  pseudoword models
  pseudoword models --model path/to/stable-diffusion-v1-5
  pseudoword models convert path/to/stable-diffusion-v1-5 sd15-q8 --weights q8";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  pseudoword doctor
  pseudoword doctor --device gpu    (exit status 5 if there is no usable GPU)
  pseudoword doctor --retune
  pseudoword doctor --kernels kernels    (what GPU drivers compile, for tools that read it)";

const SERVE_EXAMPLES: &str = "\
Examples:
  tools/web/dist && pseudoword serve
  pseudoword serve --dir dist --port 0

Prints the address. Any other server of static files works too, on this
machine or with https.";

const BENCH_EXAMPLES: &str = "\
Examples:
  pseudoword bench --device cpu
  pseudoword bench --device gpu --batch 1 --checkpointing on --json
  pseudoword bench --random sd1 --resolution 256 --batch 1 --ops

benches/peer/peer.py measures diffusers and PyTorch at the same work.";

/// How to start, and what the exit status means.
fn overview() -> String {
    let mut statuses = Vec::new();
    for next in Next::ALL {
        statuses.push(format!("  {}", next.heading()));
        let these = STATUSES.iter().filter(|(.., which)| *which == next);
        statuses.extend(these.map(|(code, meaning, _)| format!("    {code:>3}  {meaning}")));
    }
    format!(
        "Examples:\n  \
         pseudoword train examples/peach --token \"<my-peach>\" --init apple\n  \
         pseudoword generate \"a pink <my-peach>\" --compare \\\n    \
         -e runs/my-peach/learned_embeds.safetensors\n\n\
         Exit status:\n{}",
        statuses.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, option_name};
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_not_typed_has_the_default_of_the_library() {
        let cli = Cli::parse_from(["pseudoword", "train", "p", "--token", "<t>"]);
        let Command::Train(train) = cli.command else { panic!("{cli:?}") };
        assert_eq!(train.config, config::TrainConfig { token: "<t>".to_owned(), ..config::TrainConfig::default() });
        let cli = Cli::parse_from(["pseudoword", "generate", "a cat"]);
        let Command::Generate(generate) = cli.command else { panic!("{cli:?}") };
        assert_eq!(generate.config, config::SampleConfig::default());
    }

    #[test]
    fn every_sampler_and_kind_is_offered_by_its_name() {
        let offered: Vec<String> = config::SamplerKind::value_variants().iter().map(option_name).collect();
        assert_eq!(offered, config::SamplerKind::ALL.map(config::SamplerKind::name));
        let offered: Vec<String> = config::Kind::value_variants().iter().map(option_name).collect();
        assert_eq!(offered, config::Kind::ALL.map(config::Kind::name));
    }

    #[test]
    fn every_layout_of_embeddings_is_offered_by_its_key() {
        // Not `Layout::ALL`, which could lack one; a new layout does not compile here.
        let next = |layout: &Layout| match layout {
            Layout::Safetensors => Some(Layout::Bin),
            Layout::Bin => Some(Layout::A1111),
            Layout::A1111 => Some(Layout::Kohya),
            Layout::Kohya => Some(Layout::Pair),
            Layout::Pair => Some(Layout::Replicate),
            Layout::Replicate => None,
        };
        for layout in std::iter::successors(Some(Layout::Safetensors), next) {
            let cli = Cli::try_parse_from(["pseudoword", "convert", "a", "b", "--format", layout.key()]);
            let Command::Convert(convert) = cli.unwrap().command else { panic!("not convert") };
            assert_eq!((convert.format, Layout::of(layout.key())), (Some(layout), Some(layout)));
        }
    }

    #[test]
    fn the_help_has_what_is_usual_for_each_family() {
        let command = Cli::command();
        for (command_name, option, expected) in [
            ("generate", "guidance", "[default: 4 for mini, 7.5 for SD 1.x and SD 2.x, 5 for SDXL]"),
            ("generate", "steps", "[default: 25 for mini, 30 for SD 1.x and SD 2.x and SDXL]"),
            ("generate", "sampler", "otherwise ddim for mini and SD 2.x, pndm for SD 1.x, euler for SDXL]"),
            ("train", "steps", "[default: 600 for mini, 500 for SD 1.x and SD 2.x, 400 for SDXL]"),
            ("train", "vectors", "[default: 4 for mini and SD 1.x and SD 2.x, 2 for SDXL]"),
            (
                "train",
                "lr",
                "adamw: 0.01 for mini, 0.004 for SD 1.x and SD 2.x, 0.001 for SDXL; direction: 0.1 for mini",
            ),
        ] {
            let command = command.find_subcommand(command_name).unwrap();
            let option = command.get_arguments().find(|argument| argument.get_long() == Some(option)).unwrap();
            let help = option.get_help().unwrap().to_string();
            assert!(help.contains(expected), "{expected}: {help}");
        }
    }
}
