//! What can be typed. Every setting of a job comes from [`crate::config`]; here is the rest.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::exit::STATUSES;
use crate::config::{Checkpointing, SampleConfig, TrainConfig};
use crate::gpu::DeviceChoice;

/// Learn new words for Stable Diffusion from a few pictures (Textual Inversion), and make pictures with them
#[derive(Debug, Parser)]
#[command(name = "pseudoword", version, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = overview())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// What every command understands.
    #[command(flatten)]
    pub(super) shared: Shared,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Every command")]
pub(super) struct Shared {
    /// Where to compute
    #[arg(long, global = true, value_enum, value_name = "DEVICE", default_value_t = DeviceChoice::default())]
    pub device: DeviceChoice,
    /// A Stable Diffusion model: a folder as diffusers writes it, a single .safetensors file, or a repository on the
    /// Hugging Face Hub (owner/name, or owner/name/file.safetensors) [default: mini, the model in this program]
    #[arg(long, global = true, value_name = "DIR|FILE|REPO")]
    pub model: Option<PathBuf>,
    /// For a model in a single file: take configuration and tokenizer from this folder or repository
    #[arg(long, global = true, value_name = "DIR|REPO")]
    pub base: Option<PathBuf>,
    /// For a model in a single file: what it predicts [default: what the file says, or is usual for its family]
    #[arg(long, global = true, value_enum, value_name = "TYPE")]
    pub prediction_type: Option<Prediction>,
    /// How weights are kept [default: auto]
    #[arg(long, global = true, value_enum, value_name = "HOW", default_value_t = WeightStorage::default(), hide_default_value = true)]
    pub weights: WeightStorage,
    /// Do not use the network: only what is on this machine already
    #[arg(long, global = true)]
    pub offline: bool,
    /// Print everything that happens as JSON, one object a line, on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but the result and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// What a U-Net predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Prediction {
    /// The noise
    Epsilon,
    /// The velocity, as most Stable Diffusion 2.x models
    VPrediction,
}

/// How weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum WeightStorage {
    /// Small models in f32; others in f16 on a GPU, and as in the file on the processor
    #[default]
    Auto,
    /// As in the file
    File,
    /// In half precision: half the memory of f32
    F16,
    /// In single precision
    F32,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Learn a word from pictures
    #[command(after_help = TRAIN_EXAMPLES, allow_negative_numbers = true, args_override_self = true)]
    Train(Box<TrainArgs>),
    /// Make pictures from prompts, with learned words in them
    #[command(after_help = GENERATE_EXAMPLES, allow_negative_numbers = true)]
    Generate(Box<GenerateArgs>),
    /// Describe learned words: what is in the file, and which words of the model lie near
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Write a learned word in the format of another program
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert(ConvertArgs),
    /// Keep words, to use them in prompts by their names
    #[command(after_help = WORDS_EXAMPLES)]
    Embeddings {
        /// What to do.
        #[command(subcommand)]
        command: WordsCommand,
    },
    /// Describe the model in this program, or the one given with --model
    #[command(after_help = MODELS_EXAMPLES)]
    Models,
    /// Say what this machine offers, what would be used and whether it computes correctly
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Measure the time of training and denoising steps, and the memory they take
    #[command(after_help = BENCH_EXAMPLES, allow_negative_numbers = true)]
    Bench(BenchArgs),
    /// Serve the page to browsers on this machine
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The folder with the page [default: dist, or the repository itself]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Port on the loopback address; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub port: u16,
}

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Pictures that show it, 3 to 5 of them: PNG, JPEG or WebP files, or folders that hold them
    #[arg(value_name = "PICTURES", required_unless_present_any = ["replay", "file"])]
    pub pictures: Vec<PathBuf>,
    /// Everything that decides what is learned, and how.
    #[command(flatten)]
    pub config: TrainConfig,
    /// Folder for the word, the log and the previews [default: runs/ and the token's letters]
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub out: Option<PathBuf>,
    /// Begin anew where a run is in the folder already, and replace what it left
    #[arg(long, help_heading = "Files", conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on with the run in the folder, and refuse to begin one. Without this, too, a run that was broken off goes on
    /// when its command is given again
    #[arg(long, help_heading = "Files")]
    pub resume: bool,
    /// Take the options from the settings.json of a run; what is typed besides counts
    #[arg(long = "config", id = "file", value_name = "FILE", help_heading = "Files")]
    pub settings: Option<PathBuf>,
    /// Say what would happen, what memory it takes and about how long; two steps are made to find out, nothing is written
    #[arg(long, help_heading = "Files")]
    pub dry_run: bool,
    /// When the GPU is lost: stop, or start it again, once, and go on
    #[arg(long, value_enum, default_value_t = OnDeviceLost::default(), help_heading = "Training")]
    pub on_device_lost: OnDeviceLost,
    /// Embeddings whose words may be used in captions and in the preview prompt: files, folders, web addresses or
    /// repositories; =NAME gives one another name
    #[arg(long = "embedding", short, value_name = "SOURCE[=NAME]", help_heading = "Files")]
    pub embeddings: Vec<String>,
    /// Sentences to learn the word in, one a line with {} where it goes, instead of the built-in ones
    #[arg(long, value_name = "FILE", help_heading = "Pictures and captions")]
    pub template: Option<PathBuf>,
    /// Use a .txt file beside each picture as its caption, with {} or the token where the word goes
    #[arg(long, value_enum, default_value_t = Captions::default(), help_heading = "Pictures and captions")]
    pub captions: Captions,
    /// Other pictures of the same thing, not learned from: the loss on them is told too
    #[arg(long, value_name = "PICTURES", help_heading = "Pictures and captions")]
    pub unseen: Vec<PathBuf>,
    /// Take every random choice from a file instead of drawing it
    #[arg(long, value_name = "FILE", help_heading = "Comparing with other programs")]
    pub replay: Option<PathBuf>,
    /// Write every random choice to a file that --replay can read
    #[arg(long, value_name = "FILE", help_heading = "Comparing with other programs")]
    pub record: Option<PathBuf>,
}

/// What to do when the GPU is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum OnDeviceLost {
    /// End the run; the same command goes on with it
    #[default]
    Stop,
    /// Start the GPU again, once, and go on
    Resume,
}

/// Whether `.txt` files beside the pictures are captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Captions {
    /// If every picture has one
    #[default]
    Auto,
    /// Yes; a picture without one is an error
    On,
    /// No
    Off,
}

#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// What the pictures should show
    #[arg(value_name = "PROMPT", required = true)]
    pub prompts: Vec<String>,
    /// A learned word to use in prompts by its token: a file, a folder, a web address or a repository (owner/name);
    /// =NAME gives it another name. Kept words (see `embeddings`) need not be given
    #[arg(long = "embedding", short, value_name = "SOURCE[=NAME]", help_heading = "Words and files")]
    pub embeddings: Vec<String>,
    /// One sheet of all pictures, beside each the picture of the same seed without the learned words
    #[arg(long, help_heading = "Words and files")]
    pub compare: bool,
    /// A PNG file, a folder, or - for standard output [default: out.png; numbered where there are several]
    #[arg(long, short, value_name = "FILE|DIR|-", help_heading = "Words and files")]
    pub out: Option<PathBuf>,
    /// Replace files that exist instead of taking the next free number
    #[arg(long, help_heading = "Words and files")]
    pub overwrite: bool,
    /// Start from this noise: safetensors with the tensor `latents` [n, 4, height/8, width/8], F32
    #[arg(long, value_name = "FILE", help_heading = "Comparing with other programs")]
    pub latents: Option<PathBuf>,
    /// Everything that decides how pictures are made.
    #[command(flatten)]
    pub config: SampleConfig,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Files, folders, web addresses, repositories (owner/name) or names of kept words
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// A file, a folder, a web address, a repository (owner/name) or the name of a kept word; with =NAME the word gets
    /// that name, or of several the one of that name is taken
    #[arg(value_name = "SOURCE[=NAME]")]
    pub input: String,
    /// The file to write; .safetensors and .bin are for diffusers, .pt for A1111, unless --format says otherwise
    #[arg(value_name = "FILE")]
    pub output: PathBuf,
    /// Who is to read the file
    #[arg(long, value_enum)]
    pub format: Option<LayoutChoice>,
    /// Replace a file that is there
    #[arg(long)]
    pub overwrite: bool,
}

/// The format of a word's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LayoutChoice {
    /// learned_embeds.safetensors of diffusers; ComfyUI and InvokeAI read it too
    Diffusers,
    /// learned_embeds.bin of diffusers
    DiffusersBin,
    /// A1111's .pt
    #[value(name = "a1111")]
    A1111,
    /// kohya's .safetensors
    Kohya,
}

#[derive(Debug, Subcommand)]
pub(super) enum WordsCommand {
    /// Keep a word
    Add {
        /// A file, a folder, a web address or a repository (owner/name); with =NAME the word gets that name
        #[arg(value_name = "SOURCE[=NAME]")]
        source: String,
        /// Replace a kept word of the same name; the old one is put aside
        #[arg(long)]
        overwrite: bool,
    },
    /// List the kept words
    List,
    /// Keep a word no longer; its file is put aside, not deleted
    Remove {
        /// Its name
        token: String,
    },
    /// Describe a kept word
    Show {
        /// Its name
        token: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Measure again which tiles are fastest for matrix products on the GPU; otherwise that is done once for each GPU and
    /// driver
    #[arg(long)]
    pub retune: bool,
}

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Timed repetitions of each piece of work
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub steps: u32,
    /// Samples in a training step; give it again for several
    #[arg(long, value_name = "B", default_values_t = [1, 4])]
    pub batch: Vec<u32>,
    /// Most seconds for each piece of work; at least three repetitions are made
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    pub seconds: f64,
    /// Recompute blocks in the backward pass to save memory
    #[arg(long, value_enum, default_value_t = Checkpointing::default())]
    pub checkpointing: Checkpointing,
    /// Side of the pictures in pixels [default: the model's own]
    #[arg(long, value_name = "PIXELS")]
    pub resolution: Option<u32>,
    /// Measure random weights, which need no download
    #[arg(long, value_enum, value_name = "WHICH")]
    pub random: Option<RandomModel>,
    /// Measure each operation of the U-Net, too
    #[arg(long)]
    pub ops: bool,
}

/// Models with random weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RandomModel {
    /// Of the sizes of Stable Diffusion 1.5
    Sd1,
    /// Of the sizes of Stable Diffusion 2.1
    Sd2,
    /// Of the sizes of --model, of which only configuration and tokenizer are read
    Model,
}

/// The name under which a value is given on the command line.
pub(super) fn option_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

// Lines of at most 78 characters: longer ones break in a terminal of 80.

const TRAIN_EXAMPLES: &str = "\
Examples:
  pseudoword train examples/peach --token \"<my-peach>\" --init apple
  pseudoword train photos/ --token \"<my-teapot>\" --init teapot --model DIR
  pseudoword train art/ --token \"<my-style>\" --kind style --vectors 4

In the folder of a run: learned_embeds.safetensors (the word, as diffusers
writes it), log.jsonl, previews/, previews.png and loss.png; README.txt there
says what the rest is. Ctrl-C finishes the step and saves; a second one stops
at once. The same command given again goes on where the run stopped.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  WORD=runs/my-peach/learned_embeds.safetensors
  pseudoword generate \"a <my-peach> on a blue background\" -e $WORD
  pseudoword generate \"a <my-peach>\" \"a pink <my-peach>\" -e $WORD --compare
  pseudoword generate \"a <fruit>\" -e $WORD=\"<fruit>\" --count 4 --out fruit/
  pseudoword generate \"an apple\" --seed 7 --out - > apple.png";

const INSPECT_EXAMPLES: &str = "\
Examples:
  pseudoword inspect runs/my-peach/learned_embeds.safetensors
  pseudoword inspect some.pt other.bin --model MODEL --json
  pseudoword inspect sd-concepts-library/midjourney-style --model MODEL

Nothing in a file is ever run.";

const CONVERT_EXAMPLES: &str = "\
Examples:
  pseudoword convert old.bin new.safetensors
  pseudoword convert runs/my-peach my-peach.pt
  pseudoword convert style.pt=\"<my-style>\" style.safetensors";

const WORDS_EXAMPLES: &str = "\
Examples:
  pseudoword embeddings add runs/my-peach
  pseudoword embeddings add https://example.org/style.pt=\"<style>\"
  pseudoword generate \"a <my-peach> in <style> style\"
  pseudoword embeddings list

They are in the folder `words` of PSEUDOWORD_HOME, or of pseudoword in the
user's data folder (on Linux ~/.local/share/pseudoword).";

const MODELS_EXAMPLES: &str = "\
Examples:
  pseudoword models
  pseudoword models --model path/to/stable-diffusion-v1-5";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  pseudoword doctor
  pseudoword doctor --device gpu    (exit status 5 if there is no usable GPU)
  pseudoword doctor --retune";

const SERVE_EXAMPLES: &str = "\
Examples:
  tools/web/dist && pseudoword serve
  pseudoword serve --dir dist --port 0

Prints the address. Any other server of static files will do as well, if it is this machine or speaks https.";
const BENCH_EXAMPLES: &str = "\
Examples:
  pseudoword bench --device cpu
  pseudoword bench --device gpu --batch 1 --checkpointing on --json
  pseudoword bench --random sd1 --resolution 256 --batch 1 --ops

benches/peer/peer.py measures diffusers and PyTorch at the same work.";

/// How to begin, and what the exit status says.
fn overview() -> String {
    let codes: Vec<String> = STATUSES.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}")).collect();
    format!(
        "Examples:\n  \
         pseudoword train examples/peach --token \"<my-peach>\" --init apple\n  \
         pseudoword generate \"a pink <my-peach>\" --compare \\\n    \
         -e runs/my-peach/learned_embeds.safetensors\n\n\
         Exit status:\n{}",
        codes.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
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
    fn the_help_of_the_learning_rate_has_each_recipes_own() {
        let command = Cli::command();
        let train = command.find_subcommand("train").unwrap();
        let lr = train.get_arguments().find(|argument| argument.get_long() == Some("lr")).unwrap();
        let help = lr.get_help().unwrap().to_string();
        for recipe in config::Recipe::value_variants() {
            let expected = format!("{} for {}", recipe.lr(), option_name(recipe));
            assert!(help.contains(&expected), "{expected}: {help}");
        }
    }
}
