//! `pseudoword generate`: prompts in, PNG files out.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use safetensors::{Dtype, SafeTensors};

use super::args::{GenerateArgs, Shared};
use super::compare::{Compared, Pair, sheet};
use super::embeddings::read::{self, ActiveEmbedding, EmbeddingArgument};
use super::faults::interrupt::{self, Interrupt};
use super::like::Like;
use super::load::{self, ModelId};
use super::locate;
use super::outlook::Outlook;
use super::output::{Output, terminal};
use crate::base::files;
use crate::base::text::quoted;
use crate::config::{PromptSyntax, SampleConfig, typed};
use crate::embedding::Embedding;
use crate::event::{Event, WarningCode};
use crate::gpu::{self, Chosen};
use crate::image::encode_png;
use crate::model::{Loading, ModelConfig, OpenedModel};
use crate::plan::{self, MemoryPlan, WeightBytes};
use crate::sample::{self, Label, SampleJob};
use crate::text::{ClipTokenizer, Tokenizers};
use crate::{Error, Result};

/// Where the pictures go.
enum Target {
    Stdout,
    Files(VecDeque<PathBuf>),
}

/// Noise from a file.
struct Latents {
    values: Vec<f32>,
    shape: [usize; 4],
}

/// The jobs of one command, and what they share.
struct Run<'a> {
    config: SampleConfig,
    seeded: bool,
    model: ModelId,
    embeddings: Vec<ActiveEmbedding>,
    target: Target,
    interrupt: Interrupt,
    steps: u32,
    out: &'a mut Output,
}

/// Pictures that were made, and the tokens of the embeddings that they were made with.
struct Made {
    pictures: Vec<RgbImage>,
    tokens: Vec<String>,
}

/// What was asked for: read and checked before the model is loaded.
struct Request {
    config: SampleConfig,
    device: Chosen,
    opened: OpenedModel,
    latents: Option<Latents>,
    target: Target,
    embeddings: Vec<EmbeddingArgument>,
    /// How many stretches the longest prompt has.
    stretches: usize,
    /// With `--compare`: each prompt, and what it is compared with.
    pairs: Vec<Pair>,
    /// With `--like`: what the picture says.
    like: Option<Like>,
}

impl Request {
    /// Finds out what is wrong before a model is loaded, and reports what the user should know.
    async fn prepare(args: &mut GenerateArgs, shared: &Shared, out: &mut Output) -> Result<Self> {
        let like = Like::taken_up_into(args, out)?;
        let args = &*args;
        let mut config = args.config.clone();
        sample::check_numbers(&config)?;
        let latents = args.latents.as_deref().map(read_latents).transpose()?;
        // The file decides what was not given as an option.
        if let (Some(Latents { shape: [count, ..], .. }), 1) = (&latents, config.count) {
            config.count = *count as u32;
        }
        let pictures = if args.compare { 1 } else { args.prompts.len() * config.count as usize };
        let target = target(args, shared, pictures, out)?;
        let mut embeddings = read::given(&args.embeddings, shared, out).await?;
        let given = embeddings.len();
        let mut texts: Vec<&str> = args.prompts.iter().map(String::as_str).collect();
        texts.push(&args.config.negative_prompt);
        let device = gpu::choose(shared.device)?;
        let opened = {
            // How long prompts are is known when there is a tokenizer.
            let planned = planned(&config, like.as_ref(), 1);
            locate::model_for(shared, &Outlook::new(shared, &device, &planned), out).await?
        };
        let kept = read::kept_in(&texts, &embeddings, opened.tokenizers.first(), out)?;
        embeddings.extend(kept);
        if let Some(Latents { shape: [_, _, height, width], .. }) = &latents {
            let pixels = |side: usize| (side * opened.config.vae.pixels_per_latent()) as u32;
            config.height.get_or_insert(pixels(*height));
            config.width.get_or_insert(pixels(*width));
        }
        let mut fitted = Vec::new();
        if let Some(like) = &like {
            (config, fitted) = like.fitted(&config, &opened.config);
        }
        let usual = sample::usual_in_words(&config, &opened.config);
        config = sample::with_usual(&config, &opened.config);
        config.karras |= opened.config.scheduler.asks_for_karras(config.sampler());
        sample::check(&config, &opened.config)?;
        if let Some(Latents { shape, .. }) = &latents {
            sample::check_latents(*shape, &config, &opened.config)?;
        }
        let tokenizers = read::tokenizers(&embeddings, &opened)?;
        let pairs = if args.compare { pairs(args, &tokenizers, &embeddings)? } else { Vec::new() };
        let mut said = unused(&texts, config.prompt_syntax, &embeddings[..given], tokenizers.first());
        said.extend(sample::about_model(&config, &opened.config));
        said.extend(concerns(args, &config, &tokenizers));
        if let Some(like) = &like {
            let about = like.about_embeddings(&embeddings, &mut said);
            said.extend(fitted.into_iter().chain(about));
        }
        said.iter().try_for_each(|event| out.event(event))?;
        if let Some(usual) = usual {
            out.message(&usual);
        }
        let stretches =
            texts.iter().map(|text| tokenizers.read(text, config.prompt_syntax).chunks()).max().unwrap_or(1);
        Ok(Self { config, device, opened, latents, target, embeddings, stretches, pairs, like })
    }
}

/// Makes the pictures.
///
/// # Errors
/// What is wrong with the options, the model, an embedding or a prompt, before the model is loaded; later, what stopped
/// the work.
pub(super) async fn run(args: &GenerateArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let begun = Instant::now();
    let mut args = args.clone();
    let request = Request::prepare(&mut args, shared, out).await?;
    let Request { config, device, opened, latents, target, embeddings, stretches, pairs, like } = request;
    let interrupt = Interrupt::listen(shared.quiet)?;
    let mut model = ModelId::named(&*opened.source);
    let loading = Loading { hash: true, ..Loading::default() };
    out.event(&device.event())?;
    let mut session =
        load::session(&Outlook::new(shared, &device, &planned(&config, None, stretches)), &opened, loading, out)
            .await?;
    model.hash.clone_from(&session.model().unet_hash);
    like.iter().filter_map(|like| like.about_model(&model)).try_for_each(|event| out.event(&event))?;
    let embeddings = read::add_to(&mut session, &embeddings, &model, out).await?;
    let start = |prompt: &str| -> Result<SampleJob> {
        let mut job = session.sample(prompt, &config)?;
        if let Some(Latents { values, shape }) = &latents {
            job.start_from(values.clone(), *shape)?;
        }
        Ok(job)
    };
    let seeded = latents.is_none();
    let decided = sample::decided(&config, &opened.config);
    let mut run = Run { config: decided, seeded, model, embeddings, target, interrupt, steps: 0, out };
    // All jobs are made before any is run, so that a mistake in one is reported at once.
    if args.compare {
        let jobs = pairs.into_iter().map(|pair| Ok((start(&pair.with)?, start(&pair.without)?, pair)));
        let jobs = jobs.collect::<Result<Vec<_>>>()?;
        run.compare(jobs).await?;
    } else {
        let jobs =
            args.prompts.iter().map(|prompt| Ok((start(prompt)?, prompt.clone()))).collect::<Result<Vec<_>>>()?;
        run.pictures(jobs).await?;
    }
    run.finish(begun)
}

/// What the user should know about the prompts and the options: each once, though prompts share the negative one.
fn concerns(args: &GenerateArgs, config: &SampleConfig, tokenizers: &Tokenizers) -> Vec<Event> {
    let mut said: Vec<Event> = typed::drawn_seed().map(any_seed).into_iter().collect();
    said.extend(idle_options(args, config));
    let kept = kept_tokens();
    for prompt in &args.prompts {
        for event in sample::concerns(prompt, config, tokenizers, &kept) {
            if !said.contains(&event) {
                said.push(event);
            }
        }
    }
    said
}

/// Each prompt, and what it is compared with.
fn pairs(args: &GenerateArgs, tokenizers: &Tokenizers, embeddings: &[EmbeddingArgument]) -> Result<Vec<Pair>> {
    let embeddings: Vec<&Embedding> = embeddings.iter().map(|given| &given.embedding).collect();
    let pair = |prompt: &String| Pair::of(prompt, args.config.prompt_syntax, tokenizers.first(), &embeddings);
    args.prompts.iter().map(pair).collect()
}

/// The names of the kept embeddings. Those that cannot be listed only go unmentioned.
pub(super) fn kept_tokens() -> Vec<String> {
    let kept = locate::shelf().and_then(|shelf| shelf.list()).map(|kept| kept.embeddings).unwrap_or_default();
    kept.into_iter().map(|kept| kept.token).collect()
}

/// Warnings about embeddings that were given and are in none of the texts.
pub(super) fn unused(
    texts: &[&str],
    syntax: PromptSyntax,
    given: &[EmbeddingArgument],
    tokenizer: &ClipTokenizer,
) -> Vec<Event> {
    let named: Vec<&str> = texts.iter().flat_map(|text| tokenizer.named_in(text, syntax)).collect();
    let given = given.iter().filter(|given| !named.contains(&given.embedding.token.as_str()));
    let warned = given.map(|given| {
        let (token, file) = (&given.embedding.token, &given.file);
        // What can be its name, that is: not a word of the vocabulary.
        let can_be = |name: &String| tokenizer.clone().add_word(name, 1).is_ok();
        let advice = match texts.iter().find_map(|text| given.meant_in(text)) {
            Some(meant) if can_be(&meant) => format!(
                "{shown} there is not its name: write {token} in the prompt, or rename it with -e '{file}={meant}'",
                shown = quoted(&meant)
            ),
            Some(meant) => match given.with_prefix(&meant) {
                Some(name) => format!("{} there is an ordinary word: write {name}, or {token}", quoted(&meant)),
                None => format!("write {token} in a prompt"),
            },
            None => format!("write {token} in a prompt"),
        };
        let text = format!(
            "the embedding {shown} ({file}) is in no prompt, so it is not used: {advice}",
            shown = quoted(token)
        );
        Event::warning(WarningCode::UnusedEmbedding, text)
    });
    warned.collect()
}

/// What the seed is, where any was asked for.
fn any_seed(seed: u64) -> Event {
    Event::warning(WarningCode::AnySeed, format!("--seed -1 draws one: {seed}, which makes the same pictures again"))
}

/// Options of this command that others make useless.
fn idle_options(args: &GenerateArgs, config: &SampleConfig) -> Vec<Event> {
    let mut idle = Vec::new();
    if args.latents.is_some() && config.seed != SampleConfig::default().seed && !config.sampler().needs_noise() {
        let sampler = config.sampler().name();
        idle.push(format!("--seed {} has no effect: all noise of {sampler} comes from --latents", config.seed));
    }
    if args.overwrite && args.out.as_deref() == Some(Path::new("-")) {
        idle.push("--overwrite has no effect: standard output has no file to replace".to_owned());
    }
    idle.into_iter().map(|text| Event::warning(WarningCode::NoEffect, text)).collect()
}

/// Plans the memory that the pictures will need.
fn planned(
    config: &SampleConfig,
    like: Option<&Like>,
    stretches: usize,
) -> impl Fn(&ModelConfig, WeightBytes, bool) -> Result<MemoryPlan> {
    move |model, weights, on_cpu| {
        let config = like.map_or_else(|| config.clone(), |like| like.fitted(config, model).0);
        let config = &sample::with_usual(&config, model);
        sample::check(config, model)?;
        // Guidance runs every picture twice: with the prompt and with the negative one.
        let guided = if config.is_guided() { 2 } else { 1 };
        let [height, width] = model.picture_size();
        let job = plan::Job {
            height: config.height.unwrap_or(height),
            width: config.width.unwrap_or(width),
            batch: guided * config.count.min(config.batch_size),
        };
        Ok(MemoryPlan::generating(model, weights, job, on_cpu).with_stretches(model, job, stretches))
    }
}

/// Decides on the files' names.
fn target(args: &GenerateArgs, shared: &Shared, pictures: usize, out: &mut Output) -> Result<Target> {
    let usage = |text: &str| Err(Error::Usage(text.to_owned()));
    let asked = args.out.clone().unwrap_or_else(|| PathBuf::from("out.png"));
    if asked.as_os_str() == "-" {
        if shared.json {
            return usage("--out - and --json both need standard output: leave one out");
        }
        if pictures != 1 {
            return usage("--out - takes one picture: give one prompt and --count 1, or --compare, or a folder");
        }
        if terminal::shows_results() {
            return usage(
                "--out - would write a PNG file to the terminal: redirect it, for example with `> picture.png`",
            );
        }
        return Ok(Target::Stdout);
    }
    let path = match asked.extension().map(|extension| extension.to_string_lossy().to_lowercase()) {
        _ if asked.is_dir() => asked.join("out.png"),
        Some(extension) if extension == "png" => asked,
        Some(extension) => {
            return usage(&format!("--out {}: pictures are PNG files, not .{extension}", asked.display()));
        }
        None => asked.join("out.png"),
    };
    files::check_writable(files::folder_of(&path))?;
    let free = |path: &Path| args.overwrite || !path.exists();
    if pictures == 1 && free(&path) {
        return Ok(Target::Files([path].into()));
    }
    let first = if pictures == 1 { 1 } else { 0 };
    let names =
        |from: usize| (from..from + pictures).map(|number| files::numbered(&path, number)).collect::<VecDeque<_>>();
    let mut from = first;
    while !names(from).iter().all(|name| free(name)) {
        from += 1;
    }
    if from > first || pictures == 1 {
        let (taken, next) =
            (if pictures == 1 { path.clone() } else { files::numbered(&path, first) }, files::numbered(&path, from));
        out.message(&format!("{} exists: writing {} (--overwrite replaces it)", taken.display(), next.display()));
    }
    Ok(Target::Files(names(from)))
}

fn read_latents(path: &Path) -> Result<Latents> {
    let bytes = files::read(path)?;
    let parse = || -> std::result::Result<Latents, String> {
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| format!("this is not a safetensors file: {error}"))?;
        let view = tensors.tensor("latents").map_err(|_| "it has no tensor `latents`".to_owned())?;
        match (view.dtype(), view.shape()) {
            (Dtype::F32, &[n, c, h, w]) => {
                let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                if values.iter().any(|value| !value.is_finite()) {
                    return Err("`latents` has NaN or infinite values".to_owned());
                }
                Ok(Latents { values, shape: [n, c, h, w] })
            }
            (dtype, shape) => Err(format!("`latents` must be F32 [n, 4, h, w], but it is {dtype:?} {shape:?}")),
        }
    };
    parse().map_err(|reason| Error::BadFile { file: path.display().to_string(), reason })
}

impl Run<'_> {
    /// Runs a job until it is done or the user asks to stop; gives the pictures that are ready.
    async fn work(&mut self, mut job: SampleJob) -> Result<Made> {
        while !self.interrupt.asked() {
            match job.next().await? {
                None => break,
                // One for all jobs follows in the end.
                Some(Event::Done { .. }) => {}
                Some(Event::Warning { code, .. }) if sample::CONCERNS.contains(&code) => {}
                Some(event) => {
                    if let Event::Denoise { .. } = event {
                        self.steps += 1;
                    }
                    self.out.event(&event)?;
                }
            }
        }
        let tokens = job.embeddings().into_iter().map(str::to_owned).collect();
        Ok(Made { pictures: job.take_pictures(), tokens })
    }

    async fn pictures(&mut self, jobs: Vec<(SampleJob, String)>) -> Result<()> {
        for (job, prompt) in jobs {
            let Made { pictures, tokens } = self.work(job).await?;
            for (i, picture) in pictures.into_iter().enumerate() {
                let text = self.label(&prompt, i, &picture, &tokens);
                self.save("picture", &picture, &text)?;
            }
            self.stop_if_asked()?;
        }
        Ok(())
    }

    async fn compare(&mut self, jobs: Vec<(SampleJob, SampleJob, Pair)>) -> Result<()> {
        let (mut compared, mut tokens) = (Vec::new(), Vec::new());
        for (with, without, pair) in jobs {
            let with = self.work(with).await?;
            let without = self.work(without).await?;
            let new = with.tokens.into_iter().filter(|token| !tokens.contains(token)).collect::<Vec<_>>();
            tokens.extend(new);
            compared.push(Compared { pair, with: with.pictures, without: without.pictures });
        }
        if compared.iter().any(|compared| !compared.with.is_empty()) {
            let prompts: Vec<String> = compared.iter().map(|compared| compared.pair.with.clone()).collect();
            let picture = sheet(compared, &self.config, self.seeded, &self.model, &tokens);
            let mut text = self.label(&prompts.join("\n"), 0, &picture, &tokens);
            // Programs that read the settings of one picture would mistake them for the sheet's.
            text.retain(|(key, _)| key != "parameters" && key != "size");
            self.save("sheet", &picture, &text)?;
        }
        self.stop_if_asked()
    }

    fn label(&self, prompt: &str, number: usize, picture: &RgbImage, tokens: &[String]) -> Vec<(String, String)> {
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        Label {
            prompt,
            config: &self.config,
            seed: self.seeded.then(|| self.config.seed_of(number as u64)),
            size: picture.dimensions(),
            model: &self.model.name,
            model_hash: self.model.hash.as_deref(),
            embeddings: &sample::used(&tokens, &read::hashes(&self.embeddings)),
        }
        .text()
    }

    fn save(&mut self, what: &str, picture: &RgbImage, text: &[(String, String)]) -> Result<()> {
        let bytes = encode_png(picture, text)?;
        let Target::Files(names) = &mut self.target else { return self.out.bytes(&bytes) };
        let path = names.pop_front().ok_or_else(|| Error::Internal("more pictures than names for them".to_owned()))?;
        files::make_folder(files::folder_of(&path))?;
        files::write_whole(&path, &bytes)?;
        self.out.event(&Event::Saved { what: what.to_owned(), path: path.display().to_string() })?;
        self.out.path(&path)
    }

    fn stop_if_asked(&mut self) -> Result<()> {
        if !self.interrupt.asked() {
            return Ok(());
        }
        self.out
            .message(&format!("stopped after {} denoising steps; the pictures that were ready are saved", self.steps));
        Err(interrupt::reason())
    }

    fn finish(self, begun: Instant) -> Result<()> {
        self.out.event(&Event::Done { steps: self.steps, secs: begun.elapsed().as_secs_f64() })
    }
}
