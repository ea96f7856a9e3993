//! The frozen model's parts, and the gradient through all of them, against diffusers and transformers.

use burn::tensor::Tensor;
use pseudoword::config::Pooling;
use pseudoword::event::Event;
use pseudoword::layout::{self, channels_first};
use pseudoword::model::Model;
use pseudoword::noise::{Noise, Stream};
use pseudoword::ops::{self, Var, backward, mse, splice};
use pseudoword::schedule::NoiseSchedule;
use pseudoword::session::Session;
use pseudoword::text::{Chunk, Prompt, Tokens};
use pseudoword::unet::Conditions;
use pseudoword::vae::Budget;
use pseudoword::vae::tiling::{self, Map};
use pseudoword::weights::Storage;

use crate::fixtures::{Fixture, Place, assert_close, map_values, on_every_device, open, values};
use crate::kernels::on_the_gpu;

/// The id of the mini model's end token.
const END: u32 = 3034;

const MODELS: [&str; 3] = ["tiny-sd1", "tiny-sd2", "mini"];

fn prompts(ids: &[i64]) -> Vec<Prompt> {
    ids.chunks(77).map(|ids| Prompt::from(tokens(ids))).collect()
}

/// A prompt of ids whose end is the first of the mini tokenizer's end tokens.
pub fn tokens(ids: &[i64]) -> Tokens {
    let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
    let end = ids.iter().position(|id| *id == END).expect("a prompt ends");
    let chunk = Chunk { text: 1..end, end, weights: None, ids };
    Tokens { length: 75, chunks: vec![chunk], fallen: None, words: Vec::new() }
}

/// What prompts tell a U-Net, with sizes that are nothing where it is told any.
pub fn conditions(model: &Model, prompts: &[Prompt], rows: &Var<2>, recompute: bool) -> Conditions {
    model.conditions(prompts, rows, &[[0.0; 6]], (Pooling::End, recompute))
}

/// Runs `test` on each model, each device, and both ways to store weights.
fn everywhere(test: impl Fn(&Session, &Fixture, &Place, &str)) {
    for name in MODELS {
        let fixture = Fixture::read(&format!("{name}.safetensors"));
        on_every_device(|place| {
            for storage in [Storage::AsFile, Storage::F32] {
                // A software GPU needs seconds for each pass of the larger model, so one storage has to do there.
                if place.name == "gpu" && name == "mini" && storage == Storage::F32 {
                    continue;
                }
                test(&open(name, place, Some(storage)), &fixture, place, &format!("{name} {storage:?}"));
            }
        });
    }
}

#[test]
fn the_text_encoder_equals_transformers() {
    everywhere(|session, fixture, place, name| {
        let rows = Var::constant(Tensor::zeros([1, session.model().config.word_width()], &place.device));
        let prompts = prompts(&fixture.ints("text.input_ids"));
        let hidden = conditions(session.model(), &prompts, &rows, false).states.into_value();
        assert_close(&values(hidden), &fixture.floats("text.last_hidden_state"), place, &format!("{name} text"));
    });
}

#[test]
fn the_unet_equals_diffusers() {
    everywhere(|session, fixture, place, name| {
        let times: Vec<f32> = fixture.ints("unet.timestep").iter().map(|t| *t as f32).collect();
        let context = Var::constant(fixture.tensor("unet.encoder_hidden_states", &place.device));
        let sample = fixture.map("unet.sample", &place.device);
        let given = Conditions::of_states(context);
        let output = session.model().unet.forward(&sample, &times, &given, false).into_value();
        assert_close(&map_values(output), &fixture.floats("unet.output"), place, &format!("{name} unet"));
    });
}

#[test]
fn the_autoencoder_equals_diffusers() {
    everywhere(|session, fixture, place, name| {
        let encoder = pollster::block_on(session.model().encoder(&mut |_| ())).expect("the encoder loads");
        let posterior = encoder.encode(&fixture.map("vae.pixels", &place.device));
        assert_close(&map_values(posterior.mean), &fixture.floats("vae.mean"), place, &format!("{name} mean"));
        assert_close(&map_values(posterior.logvar), &fixture.floats("vae.logvar"), place, &format!("{name} logvar"));
        let latents = fixture.map("vae.latents", &place.device) / session.model().config.vae.scaling_factor;
        let decoded = pollster::block_on(session.model().decoder(&mut |_| ())).unwrap().decode(&latents);
        assert_close(&map_values(decoded), &fixture.floats("vae.decoded"), place, &format!("{name} decoded"));
    });
}

#[test]
fn the_autoencoder_in_tiles_equals_diffusers() {
    const TILE: usize = 8;
    let fixture = Fixture::read("tiling.safetensors");
    let compare = |place: &Place, ours: &Map, name: &str, shown: bool| {
        let Map { size: [height, width], channels, values } = ours;
        let ours = channels_first(values, [1, *height, *width, *channels]);
        // What diffusers' last row and column of tiles show once more: a quarter of a tile.
        let strip = if shown { height / 20 * 2 } else { 0 };
        let in_strip = |i: usize| i % width >= width - strip || i / width % height >= height - strip;
        let pick = |values: &[f32], which: bool| -> Vec<f32> {
            values.iter().enumerate().filter(|(i, _)| in_strip(*i) == which).map(|(_, value)| *value).collect()
        };
        let [theirs, whole] = ["tiled", "whole"].map(|kind| fixture.floats(&name.replace('*', kind)));
        assert_close(&pick(&ours, false), &pick(&theirs, false), place, name);
        let off = |values: &[f32]| {
            let [values, whole] = [values, &whole].map(|values| pick(values, shown));
            values.iter().zip(&whole).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / whole.len() as f64
        };
        // Tiles do change the result, and where we differ from diffusers we are nearer to what the whole gives.
        assert!(off(&theirs) > 0.01, "{name}: {}", off(&theirs));
        assert!(!shown || off(&ours) < off(&theirs), "{name}: {} {}", off(&ours), off(&theirs));
    };
    on_every_device(|place| {
        let session = open("tiny-sd1", place, Some(Storage::F32));
        let model = session.model();
        let encoder = pollster::block_on(model.encoder(&mut |_| ())).unwrap();
        let decoder = pollster::block_on(model.decoder(&mut |_| ())).unwrap();
        for (case, shown) in [("new", false), ("shown", true)] {
            let latents = fixture.map(&format!("{case}.latents"), &place.device);
            let decoded = pollster::block_on(tiling::decode(&decoder, &latents, TILE)).unwrap();
            compare(place, &decoded, &format!("{case}.*.decoded"), shown);

            let pixels = fixture.map(&format!("{case}.pixels"), &place.device);
            let tile = TILE * model.config.vae.pixels_per_latent();
            let Map { size, channels, values } = pollster::block_on(tiling::encode(&encoder, &pixels, tile)).unwrap();
            let half = channels / 2;
            let part = |pick: fn(f32) -> f32, from: usize| {
                let values = values.chunks(channels).flat_map(|all| &all[from..from + half]).copied().map(pick);
                Map { size, channels: half, values: values.collect() }
            };
            compare(place, &part(|mean| mean, 0), &format!("{case}.*.mean"), shown);
            compare(place, &part(|std| 2.0 * std.ln(), half), &format!("{case}.*.logvar"), shown);
        }
    });
}

/// Bands see the moments of the whole map, so they give what the whole gives: how far off they may be, of the scale.
const BANDS_OFF: f64 = 2e-5;

#[test]
fn the_autoencoder_in_bands_gives_what_the_whole_gives() {
    on_every_device(compare_bands);
    // With the forms of hardware.
    on_the_gpu(|place| ops::with_blocks(None, || compare_bands(place)));
}

fn compare_bands(place: &Place) {
    let place = &Place { name: place.name, device: place.device.clone(), tolerance: BANDS_OFF };
    for name in ["tiny-sd1", "mini"] {
        let session = open(name, place, Some(Storage::AsFile));
        let model = session.model();
        let encoder = pollster::block_on(model.encoder(&mut |_| ())).unwrap();
        let decoder = pollster::block_on(model.decoder(&mut |_| ())).unwrap();
        let per_latent = model.config.vae.pixels_per_latent();
        // Bands of a single row, of few and of many; sizes that no band divides; some layers whole and some not; groups of
        // which several workgroups of hardware do a band.
        let sizes = [([3, 5], 0, 1), ([7, 4], 0, 3000), ([9, 6], 20_000, 9000), ([33, 32], 0, 1 << 20)];
        for ([height, width], whole, band) in sizes {
            let (budget, what) = (Budget { whole, band }, format!("{name}, {height} x {width}, {band} bytes"));
            let latents = random([1, height, width, 4], place);
            let [all, bands] = [Budget { whole: u64::MAX, band }, budget]
                .map(|budget| values(decoder.decode_within(&latents, &budget)));
            assert_close(&bands, &all, place, &format!("{what}, decoded"));
            let pixels = random([1, height * per_latent, width * per_latent, 3], place);
            let [all, bands] =
                [Budget { whole: u64::MAX, band }, budget].map(|budget| encoder.encode_within(&pixels, &budget));
            assert_close(&values(bands.mean), &values(all.mean), place, &format!("{what}, mean"));
            assert_close(&values(bands.logvar), &values(all.logvar), place, &format!("{what}, logvar"));
        }
    }
}

fn random(shape: [usize; 4], place: &Place) -> Tensor<4> {
    let values = Noise::new(7).draws(0, Stream::Latents).normals(shape.iter().product());
    Tensor::<1>::from_floats(values.as_slice(), &place.device).reshape(shape)
}

#[test]
fn pictures_that_fit_are_computed_whole() {
    let (map, budget) = ([256, 256, 256], Budget::default());
    assert!(budget.is_whole(map, false) && !budget.is_whole([257, 256, 256], false));
    // What is in bands stays so.
    assert!(!budget.is_whole(map, true) && budget.is_whole([64, 64, 512], true));
    // Bands of maps that follow each other have the same length.
    let bytes = |[height, width, channels]: [usize; 3]| budget.rows([height, width, channels]) * width * channels;
    for side in [448, 512, 520] {
        let maps = [[side, side, 128], [side, side, 256], [side / 2, side / 2, 512]];
        assert_eq!(maps.map(bytes), [bytes(maps[0]); 3]);
        assert!(bytes(maps[0]) * 4 <= budget.band as usize && bytes(maps[0]) * 8 > budget.band as usize);
    }
}

#[test]
fn the_loss_and_its_gradient_equal_pytorch() {
    everywhere(|session, fixture, place, name| {
        let device = &place.device;
        let model = session.model();
        let schedule = NoiseSchedule::new(&model.config.scheduler);
        let timesteps: Vec<usize> = fixture.ints("grad.timestep").iter().map(|t| *t as usize).collect();
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let (latents, noise) = (fixture.floats("grad.latents"), fixture.floats("grad.noise"));
        let each = latents.len() / timesteps.len();
        let samples = || latents.chunks_exact(each).zip(noise.chunks_exact(each)).zip(&timesteps);
        let noised: Vec<f32> = samples().flat_map(|((x, noise), t)| schedule.add_noise(x, noise, *t)).collect();
        let target: Vec<f32> = samples().flat_map(|((x, noise), t)| schedule.target(x, noise, *t)).collect();
        assert_close(&noised, &fixture.floats("grad.noisy"), place, &format!("{name} noisy"));
        assert_close(&target, &fixture.floats("grad.target"), place, &format!("{name} target"));
        let shape: [usize; 4] = fixture.shape("grad.latents").try_into().expect("rank four");
        let [noised, target] = [noised, target].map(|values| layout::channels_last(&values, shape, device));
        for (gamma, loss_name, rows_name) in
            [(None, "grad.loss", "grad.d_rows"), (Some(5.0), "grad.snr_loss", "grad.d_rows_snr")]
        {
            for recompute in [false, true] {
                if place.name == "gpu" && recompute == gamma.is_none() {
                    continue;
                }
                let what = |part: &str| format!("{name} {part} gamma {gamma:?} recompute {recompute}");
                let rows = Var::leaf(fixture.tensor("grad.rows", device));
                let prompts = prompts(&fixture.ints("grad.input_ids"));
                let context = conditions(model, &prompts, &rows, recompute).states;
                // A second leaf in the middle shows the gradient that the U-Net hands to the text encoder.
                let middle = Var::leaf(context.value().clone());
                let predict = |context: &Var<3>| {
                    let prediction =
                        model.unet.forward(&noised, &times, &Conditions::of_states(context.clone()), recompute);
                    let weights = gamma.map(|gamma| {
                        let weights = schedule.loss_weights(&timesteps, Some(gamma));
                        Tensor::<1>::from_floats(weights.as_slice(), device).reshape([timesteps.len(), 1, 1, 1])
                    });
                    (prediction.value().clone(), mse(&prediction, target.clone(), weights))
                };
                let (prediction, loss) = predict(&context);
                assert_close(&map_values(prediction), &fixture.floats("grad.eps_pred"), place, &what("prediction"));
                assert_close(&values(loss.value().clone()), &fixture.floats(loss_name), place, &what("loss"));
                let one = Tensor::ones([1], device);
                let d_rows = backward(&loss, one.clone()).take(&rows).expect("a gradient");
                assert_close(&values(d_rows), &fixture.floats(rows_name), place, &what("d_rows"));
                if gamma.is_none() {
                    let d_context = backward(&predict(&middle).1, one).take(&middle).expect("a gradient");
                    assert_close(&values(d_context), &fixture.floats("grad.d_context"), place, &what("d_context"));
                }
            }
        }
    });
}

#[test]
fn rows_land_where_their_ids_are() {
    let device = pseudoword::gpu::cpu();
    let base = Tensor::zeros([1, 4, 2], &device);
    let rows = Var::constant(Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device));
    let spliced = splice(base, &rows, &[(1, 1), (3, 0)]).into_value();
    assert_eq!(values(spliced), [0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 1.0, 2.0]);
}

#[test]
fn a_picture_equals_the_pipelines() {
    use pseudoword::config::SampleConfig;
    let fixture = Fixture::read("generate.safetensors");
    on_every_device(|place| {
        let session = open("mini", place, None);
        for (guidance, image) in [(4.0, "image"), (1.0, "image_unguided")] {
            let config = SampleConfig { steps: Some(10), guidance: Some(guidance), ..SampleConfig::default() };
            let mut job = session.sample(&fixture.metadata("prompt"), &config).expect("a job");
            let shape = fixture.shape("latents").try_into().expect("rank four");
            job.start_from(fixture.floats("latents"), shape).expect("latents that fit");
            let mut sketch = None;
            pollster::block_on(async {
                assert!(job.sketch().await.expect("no error").is_none(), "nothing is under way yet");
                while let Some(event) = job.next().await.expect("no error") {
                    if matches!(event, Event::Denoise { step, of, .. } if step == of) {
                        sketch = job.sketch().await.expect("no error");
                    }
                }
                assert!(job.sketch().await.expect("no error").is_none(), "nothing is under way any more");
            });
            let picture = job.take_pictures().pop().expect("a picture");
            let sketch = sketch.expect("a sketch");
            assert_eq!(sketch.dimensions(), picture.dimensions(), "so small a picture is not made smaller");
            let apart = sketch.iter().zip(picture.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
            assert!(apart < 2 * sketch.len() as u64, "the last step's sketch is the picture, nearly: {apart} in all");
            let want = fixture.floats(image);
            let pixel = |i: usize| {
                let (channel, y, x) = (i / 4096, i / 64 % 64, i % 64);
                f64::from(picture.get_pixel(x as u32, y as u32).0[channel]) / 255.0
            };
            let error: f64 = want.iter().enumerate().map(|(i, want)| (pixel(i) - f64::from(*want)).powi(2)).sum();
            let psnr = -10.0 * (error / want.len() as f64).log10();
            println!("{:18} {image}: {psnr:.1} dB", place.name);
            assert!(psnr >= 40.0, "{image} on {}: {psnr} dB", place.name);
        }
    });
}
