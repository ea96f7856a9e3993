//! SDXL: two text encoders, a prompt's vector and a picture's sizes, and the gradient through all of them, against diffusers and
//! transformers.

use std::rc::Rc;

use burn::tensor::Tensor;
use pseudoword::checkpoint::Checkpoint;
use pseudoword::config::{EmptyNegative, LrSchedule, Pooling, PromptSyntax, SampleConfig, SamplerKind, TrainConfig};
use pseudoword::embedding::{self, Embedding, Layout};
use pseudoword::ops::{Var, backward, mse, side_by_side};
use pseudoword::schedule::{NoiseSchedule, PredictionType, SchedulerConfig, TimestepSpacing};
use pseudoword::session::Session;
use pseudoword::source::Memory;
use pseudoword::text::Prompt;
use pseudoword::train::{Replay, TrainInput, TrainJob};
use pseudoword::unet::{Conditions, TimeIds};
use pseudoword::weights::Storage;

use crate::checkpoints::{outputs, session, with_base};
use crate::fixtures::{
    Fixture, Place, assert_close, cpu, gpu, map_values, model_path, on_every_device, open, path, values,
};
use crate::models::tokens;
use crate::statements::with_both_marks;
use crate::training::{losses, peach};

/// The prompts of a fixture, as both text encoders take them.
fn prompts(fixture: &Fixture, name: &str) -> Vec<Prompt> {
    let [first, second] = ["", "_2"].map(|end| fixture.ints(&format!("{name}{end}")));
    let both = first.chunks(77).zip(second.chunks(77));
    both.map(|(first, second)| Prompt { encoders: vec![tokens(first), tokens(second)], syntax: PromptSyntax::Plain })
        .collect()
}

fn time_ids(fixture: &Fixture, name: &str) -> Vec<TimeIds> {
    fixture.floats(name).as_chunks::<6>().0.to_vec()
}

/// The rows for both text encoders, as leaves, and both side by side.
fn rows(fixture: &Fixture, name: &str, place: &Place) -> ([Var<2>; 2], Var<2>) {
    let each = ["", "_2"].map(|end| Var::leaf(fixture.tensor(&format!("{name}{end}"), &place.device)));
    let both = side_by_side(&each);
    (each, both)
}

const POOLINGS: [(Pooling, &str); 2] = [(Pooling::End, ""), (Pooling::Diffusers, "_diffusers")];

#[test]
fn the_text_encoders_equal_transformers() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let (_, rows) = rows(&fixture, "text.rows", place);
        for (pooling, end) in POOLINGS {
            let prompts = prompts(&fixture, "text.input_ids");
            let given = session.model().conditions(&prompts, &rows, &[[0.0; 6]], (pooling, false));
            let states = values(given.states.into_value());
            assert_close(&states, &fixture.floats("text.context"), place, "states");
            let vectors = values(given.added.expect("SDXL is told a vector").0.into_value());
            let name = format!("text.pooled{end}");
            assert_close(&vectors, &fixture.floats(&name), place, &name);
        }
    });
}

#[test]
fn the_unet_equals_diffusers() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let times: Vec<f32> = fixture.ints("unet.timestep").iter().map(|t| *t as f32).collect();
        let tensor = |name| Var::constant(fixture.tensor::<2>(name, &place.device));
        let given = Conditions {
            states: Var::constant(fixture.tensor("unet.encoder_hidden_states", &place.device)),
            added: Some((tensor("unet.text_embeds"), time_ids(&fixture, "unet.time_ids"))),
        };
        let sample = fixture.map("unet.sample", &place.device);
        let unet = &session.model().unet;
        let output = unet.forward(&sample, &times, &given, false).into_value();
        assert_close(&map_values(output), &fixture.floats("unet.output"), place, "unet");
        let again = unet.predict(&sample, &times, &unet.keys_and_values(&given));
        assert_close(&map_values(again), &fixture.floats("unet.output"), place, "unet with known prompts");
    });
}

#[test]
fn the_loss_and_its_gradients_equal_pytorch() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let device = &place.device;
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let model = session.model();
        let schedule = NoiseSchedule::new(&model.config.scheduler);
        let timesteps: Vec<usize> = fixture.ints("grad.timestep").iter().map(|t| *t as usize).collect();
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let (noisy, target) = (fixture.map("grad.noisy", device), fixture.map("grad.target", device));
        let sizes = time_ids(&fixture, "grad.time_ids");
        for (pooling, end) in POOLINGS {
            for (gamma, recompute) in [(None, false), (Some(5.0), true)] {
                let (each, both) = rows(&fixture, "grad.rows", place);
                let prompts = prompts(&fixture, "grad.input_ids");
                let given = model.conditions(&prompts, &both, &sizes, (pooling, recompute));
                let prediction = model.unet.forward(&noisy, &times, &given, recompute);
                let weights = gamma.map(|gamma| {
                    let weights = schedule.loss_weights(&timesteps, Some(gamma));
                    Tensor::<1>::from_floats(weights.as_slice(), device).reshape([timesteps.len(), 1, 1, 1])
                });
                let loss = mse(&prediction, target.clone(), weights);
                let (group, snr) = (format!("grad{end}"), if gamma.is_some() { "_snr" } else { "" });
                let close = |got: &[f32], name: &str| {
                    let name = format!("{group}.{name}");
                    assert_close(got, &fixture.floats(&name), place, &format!("{name}, recompute {recompute}"));
                };
                close(&map_values(prediction.value().clone()), "eps_pred");
                close(&values(loss.value().clone()), if gamma.is_some() { "snr_loss" } else { "loss" });
                let mut gradients = backward(&loss, Tensor::ones([1], device));
                for (leaf, name) in each.iter().zip(["d_rows", "d_rows_2"]) {
                    close(&values(gradients.take(leaf).expect("a gradient")), &format!("{name}{snr}"));
                }
            }
        }
    });
}

/// Training with zero terminal SNR: velocities, one of them where nothing is left of the signal.
#[test]
fn the_loss_at_zero_terminal_snr_equals_pytorch() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let device = &place.device;
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let model = session.model();
        let schedule = NoiseSchedule::new(&zero_terminal(&model.config.scheduler));
        let timesteps: Vec<usize> = fixture.ints("velocity.timestep").iter().map(|t| *t as usize).collect();
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let [latents, noise] = ["grad.latents", "grad.noise"].map(|name| fixture.floats(name));
        let size = latents.len() / timesteps.len();
        let samples = || latents.chunks(size).zip(noise.chunks(size)).zip(&timesteps);
        let noisy: Vec<f32> = samples().flat_map(|((x, noise), t)| schedule.add_noise(x, noise, *t)).collect();
        let target: Vec<f32> = samples().flat_map(|((x, noise), t)| schedule.target(x, noise, *t)).collect();
        assert_close(&noisy, &fixture.floats("velocity.noisy"), place, "velocity.noisy");
        assert_close(&target, &fixture.floats("velocity.target"), place, "velocity.target");
        for (pooling, end) in POOLINGS {
            let (each, both) = rows(&fixture, "grad.rows", place);
            let prompts = prompts(&fixture, "grad.input_ids");
            let sizes = time_ids(&fixture, "grad.time_ids");
            let given = model.conditions(&prompts, &both, &sizes, (pooling, false));
            let (noisy, target) = (fixture.map("velocity.noisy", device), fixture.map("velocity.target", device));
            let prediction = model.unet.forward(&noisy, &times, &given, false);
            let loss = mse(&prediction, target, None);
            let name = |name: &str| format!("velocity{end}.{name}");
            let loss_value = values(loss.value().clone());
            assert_close(&loss_value, &fixture.floats(&name("loss")), place, &name("loss"));
            let mut gradients = backward(&loss, Tensor::ones([1], device));
            for (leaf, rows) in each.iter().zip(["d_rows", "d_rows_2"]) {
                let gradient = values(gradients.take(leaf).expect("a gradient"));
                assert_close(&gradient, &fixture.floats(&name(rows)), place, &name(rows));
            }
        }
    });
}

/// The tiny model, with another schedule if one is wanted.
fn opened(place: &Place, velocity: bool) -> Session {
    let folder = model_path("tiny-sdxl");
    let mut memory = Memory::new("tiny-sdxl");
    for part in std::fs::read_dir(&folder).unwrap().flatten() {
        for file in std::fs::read_dir(part.path()).into_iter().flatten().flatten() {
            let path = format!("{}/{}", part.file_name().display(), file.file_name().display());
            memory.insert(&path, std::fs::read(file.path()).unwrap());
        }
    }
    memory.insert("model_index.json", std::fs::read(folder.join("model_index.json")).unwrap());
    if velocity {
        let text = std::fs::read_to_string(folder.join("scheduler/scheduler_config.json")).unwrap();
        let mut scheduler: serde_json::Value = serde_json::from_str(&text).unwrap();
        scheduler["prediction_type"] = "v_prediction".into();
        scheduler["rescale_betas_zero_snr"] = true.into();
        scheduler["timestep_spacing"] = "trailing".into();
        memory.insert("scheduler/scheduler_config.json", scheduler.to_string().into_bytes());
    }
    pollster::block_on(Session::open(Rc::new(memory), &place.device, &mut |_| ())).expect("the model loads")
}

/// A hundred steps, or three, of the rows of both text encoders.
#[test]
fn training_follows_pytorch() {
    let follows = |place: &Place, ending: &str, steps: u32| {
        let few = if steps == 3 { "-3" } else { "" };
        let fixture = Fixture::read(&format!("trajectory-sdxl{few}{ending}.safetensors"));
        let replay = format!("replay-sdxl-{steps}.safetensors");
        let bytes = std::fs::read(path(&replay)).expect("the replay");
        let input = TrainInput { replay: Some(Replay::read(&bytes, &replay).unwrap()), ..TrainInput::default() };
        let config = TrainConfig {
            token: "<thing>".to_owned(),
            init: Some("ball apple".to_owned()),
            vectors: Some(2),
            steps: Some(steps),
            batch_size: Some(2),
            lr: Some(5e-3),
            lr_schedule: LrSchedule::Constant,
            preview_every: 0,
            pooling: if ending == "-diffusers" { Pooling::Diffusers } else { Pooling::End },
            ..TrainConfig::default()
        };
        let mut job = opened(place, ending == "-velocity").train(&config, input).expect("a job");
        let rows = |job: &TrainJob, i: usize| job.embedding().encoders[i].rows.clone();
        for (i, name) in ["init_rows", "init_rows_2"].into_iter().enumerate() {
            assert_eq!(rows(&job, i), fixture.floats(name), "{name}");
        }
        let losses: Vec<f32> = losses(&mut job).into_iter().map(|loss| loss as f32).collect();
        assert_close(&losses, &fixture.floats("losses"), place, &format!("losses of {steps} steps{ending}"));
        for (i, name) in ["rows", "rows_2"].into_iter().enumerate() {
            assert_close(&rows(&job, i), &fixture.floats(name), place, &format!("{name} after {steps} steps{ending}"));
        }
        job.embedding()
    };
    is_as_exported(&follows(&cpu(), "", 100));
    for ending in ["-diffusers", "-velocity"] {
        follows(&cpu(), ending, 100);
    }
    let (place, _turn) = gpu();
    follows(&place, "", 3);
    follows(&place, "-velocity", 3);
}

/// A replay is of a model that is told sizes, or of one that is not.
#[test]
fn a_replay_of_another_family_is_refused() {
    let refused = |model: &str, replay: &str| {
        let bytes = std::fs::read(path(replay)).unwrap();
        let samples = if replay.contains("sdxl") { 2 } else { 1 };
        let config = TrainConfig { steps: Some(3), batch_size: Some(samples), ..TrainConfig::default() };
        let session = open(model, &cpu(), Some(Storage::AsFile));
        let checked = Replay::read(&bytes, replay).unwrap().check(&config, &session.model().config);
        checked.err().map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(refused("tiny-sdxl", "replay-sdxl-3.safetensors"), "");
    assert_eq!(refused("tiny-sd1", "replay-3.safetensors"), "");
    assert!(refused("tiny-sd1", "replay-sdxl-3.safetensors").contains("this model is not SDXL"));
    assert!(refused("tiny-sdxl", "replay-3.safetensors").contains("has no time_ids"));
}

/// The files that an embedding for both text encoders is passed on in, as diffusers reads them.
const EXPORTED: [(&str, Layout); 2] =
    [("clip.safetensors", Layout::Safetensors), ("learned_embeds.safetensors", Layout::Pair)];

/// Where the exported files are that `sdxl-exported` of `generate.py` gave to diffusers.
const EXPORTS: &str = "words-sdxl/exported";

/// An embedding that was learned here has the vectors of the files that diffusers was given; the folder PSEUDOWORD_WRITE gets them
/// as they are written now.
fn is_as_exported(learned: &Embedding) {
    let folder = std::env::var_os("PSEUDOWORD_WRITE").map(|folder| std::path::Path::new(&folder).join("exported"));
    if let Some(folder) = folder {
        std::fs::create_dir_all(&folder).unwrap();
        let files = EXPORTED.iter().flat_map(|(name, layout)| embedding::write_files(learned, *layout, name).unwrap());
        files.for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    }
    for word in exported() {
        assert_eq!((&word.token, word.widths()), (&learned.token, learned.widths()));
        for (file, own) in word.encoders.iter().zip(&learned.encoders) {
            assert_close(&own.rows, &file.rows, &cpu(), "exported rows");
        }
    }
}

/// What the exported files hold, each of which is as it is written now.
fn exported() -> Vec<Embedding> {
    let read = |name: &str| std::fs::read(path(&format!("{EXPORTS}/{name}"))).unwrap();
    let found = |(name, layout): &(&str, Layout)| {
        let first = embedding::read(&read(name), name).unwrap();
        let whole = match embedding::second_of(name).filter(|_| *layout == Layout::Pair) {
            Some(second) => embedding::join(first, &embedding::read(&read(&second), &second).unwrap()).unwrap(),
            None => first,
        };
        let word = whole.choose(None).unwrap().into_embedding(None).unwrap();
        for (name, bytes) in embedding::write_files(&word, *layout, name).unwrap() {
            assert!(bytes == read(&name), "{name} is written otherwise now: run generate.py again");
        }
        word
    };
    EXPORTED.iter().map(found).collect()
}

/// An embedding that was learned here and exported makes diffusers' own pipeline draw the same picture.
#[test]
fn what_is_exported_means_the_same_to_diffusers() {
    let fixture = Fixture::read("exported-sdxl.safetensors");
    let config = SampleConfig {
        sampler: Some(SamplerKind::Euler),
        empty_negative: Some(EmptyNegative::Zeros),
        ..SampleConfig::default()
    };
    on_every_device(|place| {
        for (word, name) in exported().into_iter().zip(["clip", "pair"]) {
            let mut session = opened(place, false);
            session.add_embedding(word, name).unwrap();
            let psnr =
                likeness(&session, &fixture, &format!("{name}.image"), &fixture.metadata("prompt"), config.clone());
            println!("{:18} exported as {name}: {psnr:.1} dB", place.name);
            assert!(psnr >= 50.0, "{name} on {}: {psnr} dB", place.name);
        }
    });
    // Without the embedding it is another picture.
    let place = cpu();
    let other = likeness(
        &opened(&place, false),
        &fixture,
        "clip.image",
        &fixture.metadata("prompt").replace("<thing>", "thing"),
        config,
    );
    assert!(other < 40.0, "{other} dB");
}

/// How like a picture of 48 x 32 pixels is to one of a fixture, from the same latents in 8 steps: the peak signal-to-noise ratio.
fn likeness(session: &Session, fixture: &Fixture, name: &str, prompt: &str, config: SampleConfig) -> f64 {
    let config = SampleConfig { steps: Some(8), guidance: Some(5.0), width: Some(48), height: Some(32), ..config };
    let mut job = session.sample(prompt, &config).expect("a job");
    job.start_from(fixture.floats("latents"), [1, 4, 8, 12]).expect("latents that fit");
    pollster::block_on(async { while job.next().await.expect("no error").is_some() {} });
    let picture = job.take_pictures().pop().expect("a picture");
    let want = fixture.floats(name);
    let pixel = |i: usize| {
        let (channel, y, x) = (i / (32 * 48), i / 48 % 32, i % 48);
        f64::from(picture.get_pixel(x as u32, y as u32).0[channel]) / 255.0
    };
    let error: f64 = want.iter().enumerate().map(|(i, want)| (pixel(i) - f64::from(*want)).powi(2)).sum();
    -10.0 * (error / want.len() as f64).log10()
}

/// Pictures of diffusers' own pipeline, from the same noise.
#[test]
fn pictures_equal_the_pipelines() {
    let fixture = Fixture::read("generate-sdxl.safetensors");
    let words = words("thing.safetensors");
    on_every_device(|place| {
        for velocity in [false, true] {
            let mut session = opened(place, velocity);
            session.add_embedding(words.clone(), "thing.safetensors").unwrap();
            let made = |name: &str, prompt: &str, config: SampleConfig| {
                let psnr = likeness(&session, &fixture, name, &fixture.metadata(prompt), config);
                println!("{:18} {name}: {psnr:.1} dB", place.name);
                assert!(psnr >= 50.0, "{name} on {}: {psnr} dB", place.name);
            };
            let negatives = [("zeros", EmptyNegative::Zeros), ("encoded", EmptyNegative::Encoded)];
            for (sampler, kind) in [("euler", SamplerKind::Euler), ("ddim", SamplerKind::Ddim)] {
                for (negative, empty) in negatives {
                    let config =
                        SampleConfig { sampler: Some(kind), empty_negative: Some(empty), ..SampleConfig::default() };
                    let velocity = if velocity { "_velocity" } else { "" };
                    let exact = if velocity == "_velocity" && kind == SamplerKind::Euler { "exact_" } else { "" };
                    made(&format!("{sampler}{velocity}.{negative}.{exact}image"), "prompt", config);
                }
            }
            if !velocity {
                let euler = SampleConfig { sampler: Some(SamplerKind::Euler), ..SampleConfig::default() };
                made("word.image", "word_prompt", euler.clone());
                let config = SampleConfig { pooling: Pooling::Diffusers, ..euler };
                made("word_diffusers.image", "word_prompt", config);
            }
        }
    });
}

/// One file with the marks of such a model is that model: it computes and draws the same.
#[test]
fn a_file_with_both_marks_draws_what_the_pipeline_draws() {
    let mut memory = Memory::new("somewhere");
    memory.insert("noob.safetensors", with_both_marks("tiny-sdxl"));
    let options = with_base("tiny-sdxl");
    let checkpoint = Checkpoint::open(Rc::new(memory), "noob.safetensors", &options);
    let checkpoint = pollster::block_on(checkpoint).unwrap();
    // The base says that it predicts the noise; nothing else is in doubt.
    assert!(matches!(checkpoint.notes(), [note] if note.contains("(v_pred)")), "{:?}", checkpoint.notes());
    let place = cpu();
    let (file, folder) = (session(checkpoint, Storage::AsFile).unwrap(), opened(&place, true));
    assert_eq!(file.model().config.scheduler, folder.model().config.scheduler);
    assert_eq!(outputs(&file), outputs(&folder));
    let fixture = Fixture::read("generate-sdxl.safetensors");
    let config = SampleConfig { empty_negative: Some(EmptyNegative::Encoded), ..SampleConfig::default() };
    let made = |session| {
        likeness(session, &fixture, "ddim_velocity.encoded.image", &fixture.metadata("prompt"), config.clone())
    };
    assert!(made(&file) >= 50.0, "{} dB", made(&file));
    let other = made(&opened(&place, false));
    assert!(other < 40.0, "without the marks it is another picture: {other} dB");
}

/// A step has as many samples as ever, one at a time; runs of older versions took them together, and resume so.
#[test]
fn a_run_of_an_older_version_resumes_as_it_began() {
    let session = opened(&cpu(), false);
    let config = |size, passes| TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("apple".to_owned()),
        steps: Some(2),
        batch_size: size,
        gradient_accumulation: passes,
        eval_every: 0,
        eval_size: 1,
        preview_every: 0,
        ..TrainConfig::default()
    };
    let begun = |config: &TrainConfig| session.train(config, peach()).unwrap();
    let ended = |mut job: TrainJob| {
        losses(&mut job);
        job.state()
    };
    let usual = config(None, None);
    assert_eq!(ended(begun(&usual)), ended(begun(&config(Some(1), Some(4)))));
    let older = config(Some(4), Some(1));
    let mut first = begun(&older);
    pollster::block_on(async {
        while first.step() < 1 {
            first.next().await.unwrap();
        }
    });
    let resumed = |config| session.resume(config, peach(), &first.snapshot());
    assert_eq!(ended(resumed(&usual).unwrap()), ended(begun(&older)));
    let changed = resumed(&config(Some(1), None)).err().unwrap().to_string();
    assert!(changed.contains("was 4, it is 1"), "{changed}");
}

/// An embedding for both text encoders.
fn words(name: &str) -> Embedding {
    let bytes = std::fs::read(path(&format!("words-sdxl/{name}"))).unwrap();
    let found = embedding::read(&bytes, name).unwrap().choose(None).unwrap();
    Embedding { token: "<thing>".to_owned(), encoders: found.encoders, metadata: Default::default() }
}

/// A schedule with velocities and no signal at last.
fn zero_terminal(config: &SchedulerConfig) -> SchedulerConfig {
    let mut config = config.clone();
    config.prediction_type = PredictionType::VPrediction;
    config.rescale_betas_zero_snr = true;
    config.timestep_spacing = Some(TimestepSpacing::Trailing);
    config
}

/// What the U-Net hands back to the text encoders: of all the states, and of the prompt's vector.
#[test]
fn the_gradients_to_what_the_unet_is_told_equal_pytorch() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let device = &place.device;
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let (_, both) = rows(&fixture, "grad.rows", place);
        let prompts = prompts(&fixture, "grad.input_ids");
        let sizes = time_ids(&fixture, "grad.time_ids");
        let made = session.model().conditions(&prompts, &both, &sizes, (Pooling::End, false));
        for recompute in [false, true] {
            let states = Var::leaf(made.states.value().clone());
            let (vector, sizes) = made.added.as_ref().expect("SDXL is told a vector");
            let vector = Var::leaf(vector.value().clone());
            let given = Conditions { states: states.clone(), added: Some((vector.clone(), sizes.clone())) };
            let times: Vec<f32> = fixture.ints("grad.timestep").iter().map(|t| *t as f32).collect();
            let noisy = fixture.map("grad.noisy", device);
            let prediction = session.model().unet.forward(&noisy, &times, &given, recompute);
            let loss = mse(&prediction, fixture.map("grad.target", device), None);
            let mut gradients = backward(&loss, Tensor::ones([1], device));
            let to_states = values(gradients.take(&states).expect("a gradient"));
            assert_close(&to_states, &fixture.floats("grad.d_context"), place, "d_context");
            let to_vector = values(gradients.take(&vector).expect("a gradient"));
            assert_close(&to_vector, &fixture.floats("grad.d_pooled"), place, "d_pooled");
        }
    });
}

/// What the page shows of an embedding: beside the words of both vocabularies.
#[test]
fn an_embedding_is_described_for_both_text_encoders() {
    let mut session = opened(&cpu(), false);
    let word = words("thing.safetensors");
    session.add_embedding(word.clone(), "thing.safetensors").unwrap();
    let about = session.about("<thing>").unwrap();
    assert_eq!((about.vectors, about.width, about.widths), (2, 24, vec![24, 40]));
    assert_eq!(about.family, "an unknown family with two text encoders");
    assert!(about.norm > 0.0 && about.typical > 0.0);
    let nearest = session.nearest("<thing>").unwrap();
    let encoders: Vec<_> = nearest.iter().filter_map(|near| near.encoder).collect();
    assert_eq!(encoders, [["clip_l"; 5], ["clip_g"; 5]].concat());
    assert!(nearest[0].similarity >= nearest[4].similarity && nearest[5].similarity >= nearest[9].similarity);
    session.rename_embedding("<thing>", "<other>").unwrap();
    assert_eq!(session.nearest("<other>").unwrap(), nearest);
    // Vectors that are a hundred times as long for one encoder are not hidden by the other's.
    let mut long = Embedding { token: "<long>".to_owned(), ..word.clone() };
    long.encoders[1].rows.iter_mut().for_each(|value| *value *= 100.0);
    session.add_embedding(long, "long.safetensors").unwrap();
    let about = session.about("<long>").unwrap();
    assert!(about.norm > 20.0 * about.typical, "{about:?}");
    // What does not fit leaves no trace.
    let half = Embedding { token: "<half>".to_owned(), encoders: word.encoders[..1].to_vec(), ..word };
    let refused = session.add_embedding(half, "half.bin").unwrap_err().to_string();
    assert!(refused.contains("vectors 24 wide") && refused.contains("24 and 40 wide"), "{refused}");
    assert!(session.embedding("<half>").is_err() && session.tokenizer().prompt("a <half>").words.is_empty());
}
