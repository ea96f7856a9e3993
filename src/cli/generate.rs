//! `pseudoword generate`: prompts in, PNG files out.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use safetensors::{Dtype, SafeTensors};

use super::args::{GenerateArgs, Shared};
use super::compare::{Compared, Pair, sheet};
use super::embeddings::read::{self, ActiveEmbedding};
use super::faults::interrupt::{self, Interrupt};
use super::load::{self, ModelId};
use super::locate;
use super::outlook::Outlook;
use super::output::Output;
use crate::base::files;
use crate::config::SampleConfig;
use crate::event::Event;
use crate::gpu;
use crate::image::encode_png;
use crate::model::{Loading, ModelConfig};
use crate::plan::{self, MemoryPlan, WeightBytes};
use crate::sample::{Label, SampleJob};
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

/// Makes the pictures.
///
/// # Errors
/// What is wrong with the options, the model, an embedding or a prompt, before any picture is made; later, what stopped
/// the work.
pub(super) async fn run(args: &GenerateArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let begun = Instant::now();
    let device = gpu::choose(shared.device)?;
    let opened = locate::model_for(shared, &Outlook::new(shared, &device, &planned(&args.config)), out).await?;
    let mut config = args.config.clone();
    let latents = args.latents.as_deref().map(read_latents).transpose()?;
    if let Some(Latents { shape: [count, _, height, width], .. }) = &latents {
        let pixels = |side: usize| (side * opened.config.vae.pixels_per_latent()) as u32;
        // The file decides what was not given as an option.
        config.count = if config.count == 1 { *count as u32 } else { config.count };
        config.height.get_or_insert(pixels(*height));
        config.width.get_or_insert(pixels(*width));
    }
    let pictures = if args.compare { 1 } else { args.prompts.len() * config.count as usize };
    let target = target(args, shared, pictures, out)?;
    let mut embeddings = read::given(&args.embeddings, shared, out).await?;
    let mut texts: Vec<&str> = args.prompts.iter().map(String::as_str).collect();
    texts.push(&config.negative_prompt);
    let kept = read::kept_in(&texts, &embeddings, out)?;
    embeddings.extend(kept);

    let interrupt = Interrupt::listen(shared.quiet)?;
    let mut model = ModelId::named(&*opened.source);
    let loading = Loading { hash: true, ..Loading::default() };
    out.event(&device.event())?;
    let mut session = load::session(&Outlook::new(shared, &device, &planned(&config)), &opened, loading, out).await?;
    model.hash.clone_from(&session.model().unet_hash);
    let embeddings = read::add_to(&mut session, &embeddings, &model, out)?;
    let start = |prompt: &str| -> Result<SampleJob> {
        let mut job = session.sample(prompt, &config)?;
        if let Some(Latents { values, shape }) = &latents {
            job.start_from(values.clone(), *shape)?;
        }
        Ok(job)
    };
    let seeded = latents.is_none();
    let mut run = Run { config: config.clone(), seeded, model, embeddings, target, interrupt, steps: 0, out };
    // All jobs are made before any is run, so that a mistake in one is reported at once.
    if args.compare {
        let pairs = args.prompts.iter().map(|prompt| Pair::of(prompt, &session));
        let jobs = pairs.map(|pair| {
            let pair = pair?;
            Ok((start(&pair.with)?, start(&pair.without)?, pair))
        });
        let jobs = jobs.collect::<Result<Vec<_>>>()?;
        run.compare(jobs).await?;
    } else {
        let jobs =
            args.prompts.iter().map(|prompt| Ok((start(prompt)?, prompt.clone()))).collect::<Result<Vec<_>>>()?;
        run.pictures(jobs).await?;
    }
    run.finish(begun)
}

/// Plans the memory that the pictures will need.
fn planned(config: &SampleConfig) -> impl Fn(&ModelConfig, WeightBytes, bool) -> MemoryPlan {
    move |model, weights, on_cpu| {
        // Guidance runs every picture twice: with the prompt and with the negative one.
        let guided = if config.guidance == 1.0 { 1 } else { 2 };
        let job = plan::Job {
            height: config.height.unwrap_or(model.resolution()),
            width: config.width.unwrap_or(model.resolution()),
            batch: guided * config.count.min(config.batch_size),
        };
        MemoryPlan::generating(model, weights, job, on_cpu)
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
        if std::io::stdout().is_terminal() {
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
    /// Runs a job until it is done or the user asks to stop; returns the pictures that are ready.
    async fn work(&mut self, mut job: SampleJob) -> Result<Vec<RgbImage>> {
        while !self.interrupt.asked() {
            match job.next().await? {
                None => break,
                // One for all jobs follows in the end.
                Some(Event::Done { .. }) => {}
                Some(event) => {
                    if let Event::Denoise { .. } = event {
                        self.steps += 1;
                    }
                    self.out.event(&event)?;
                }
            }
        }
        Ok(job.take_pictures())
    }

    async fn pictures(&mut self, jobs: Vec<(SampleJob, String)>) -> Result<()> {
        for (job, prompt) in jobs {
            for (i, picture) in self.work(job).await?.into_iter().enumerate() {
                let text = self.label(&prompt, i, &picture);
                self.save("picture", &picture, &text)?;
            }
            self.stop_if_asked()?;
        }
        Ok(())
    }

    async fn compare(&mut self, jobs: Vec<(SampleJob, SampleJob, Pair)>) -> Result<()> {
        let mut compared = Vec::new();
        for (with, without, pair) in jobs {
            let with = self.work(with).await?;
            let without = self.work(without).await?;
            compared.push(Compared { pair, with, without });
        }
        if compared.iter().any(|compared| !compared.with.is_empty()) {
            let prompts: Vec<String> = compared.iter().map(|compared| compared.pair.with.clone()).collect();
            let picture = sheet(compared, &self.config, self.seeded, &self.model, &self.embeddings);
            let mut text = self.label(&prompts.join("\n"), 0, &picture);
            // Programs that read the settings of one picture would mistake them for the sheet's.
            text.retain(|(key, _)| key != "parameters" && key != "size");
            self.save("sheet", &picture, &text)?;
        }
        self.stop_if_asked()
    }

    fn label(&self, prompt: &str, number: usize, picture: &RgbImage) -> Vec<(String, String)> {
        let seed = self.seeded.then_some(self.config.seed + number as u64);
        Label {
            prompt,
            config: &self.config,
            seed,
            size: picture.dimensions(),
            model: &self.model.name,
            model_hash: self.model.hash.as_deref(),
            embeddings: &read::hashes(&self.embeddings),
        }
        .text()
    }

    fn save(&mut self, what: &str, picture: &RgbImage, text: &[(String, String)]) -> Result<()> {
        let bytes = encode_png(picture, text)?;
        let Target::Files(names) = &mut self.target else { return self.out.bytes(&bytes) };
        let path = names.pop_front().ok_or_else(|| Error::Internal("more pictures than names for them".to_owned()))?;
        files::make_folder(files::folder_of(&path))?;
        files::write_whole(&path, &bytes)?;
        let path = path.display().to_string();
        self.out.event(&Event::Saved { what: what.to_owned(), path: path.clone() })?;
        self.out.line(&path)
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
