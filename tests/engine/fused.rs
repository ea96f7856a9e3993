//! Ops that do several things in one launch, against their twins, and how many launches that takes.

use burn::tensor::{Device, Tensor};
use pseudoword::config::SamplerKind;
use pseudoword::ops::{
    self, Conv2d, LaunchCounter, Linear, Linears, Mlp, MlpActivation, Norm, NormedLinears, Var, Weight, backward,
};
use pseudoword::schedule::{Sampler, SchedulerConfig};
use pseudoword::unet::Conditions;

use crate::fixtures::{Place, assert_close, values};
use crate::kernels::{compare, filled, on_the_gpu, stored, weight, with_tiles_and_blocks};

fn norm(width: usize, half: bool, device: &Device) -> Norm {
    let (weight, bias) = (weight([width], 6, half, device), weight([width], 7, half, device));
    Norm { weight, bias, eps: 1e-5, groups: 1 }
}

/// Layers of one input whose weights lie one after the other, as models load them.
fn layers(count: usize, [outputs, inputs]: [usize; 2], biased: bool, half: bool, device: &Device) -> Vec<Linear> {
    let all = stored([count * outputs, inputs], 3, half, device);
    let layer = |i: usize| Linear {
        weight: Weight::new(all.clone().narrow(0, i * outputs, outputs)),
        bias: biased.then(|| weight([outputs], 10 + i as u64, half, device)),
    };
    (0..count).map(layer).collect()
}

#[test]
fn layers_behind_a_normalisation_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        compare_layers_behind_a_norm(
            place,
            // Each tile, and sizes that end anywhere in it.
            &[
                ([2, 77], 64, 32, 3),
                ([1, 130], 128, 36, 2),
                ([3, 5], 64, 8, 1),
                ([1, 300], 320, 640, 1),
                ([1, 2048], 20, 1040, 1),
                ([1, 9], 64, 6, 1),
                ([1, 5], 3, 8, 1),
            ],
        );
    });
}

/// Of these rows, inputs, outputs and layers.
pub fn compare_layers_behind_a_norm(place: &Place, sizes: &[([usize; 2], usize, usize, usize)]) {
    for &([batch, rows], inputs, outputs, count) in sizes {
        for half in [false, true] {
            let what = format!("{count} behind a norm, {batch} x {rows} x {inputs} to {outputs}, halves {half}");
            compare(place, &what, &[[batch, rows, inputs]], |x, device| {
                let layers = layers(count, [outputs, inputs], half, half, device);
                let results = ops::normed_linears(&x[0], &NormedLinears::new(norm(inputs, half, device), layers));
                let scaled = |(i, y): (usize, &Var<3>)| (0..=i).fold(y.clone(), |sum, _| sum.add(y));
                let sum = results.iter().enumerate().map(scaled).reduce(|a, b| a.add(&b)).expect("at least one");
                // On top of a gradient that came before, where the shapes allow it.
                if inputs == outputs { sum.add(&x[0]) } else { sum }
            });
        }
    }
}

/// A mean that is large beside the spread costs hardly any accuracy, though the product knows it only at its end.
#[test]
fn a_large_mean_in_front_of_a_product_costs_little() {
    on_the_gpu(|place| {
        let place = Place { tolerance: 2e-4, ..place.clone() };
        ops::with_blocks(None, || compare_a_large_mean(&place));
    });
}

pub fn compare_a_large_mean(place: &Place) {
    let y = |device: &Device| {
        let x = filled([1, 70, 320], 1, device) + 100.0;
        let layers = NormedLinears::new(norm(320, true, device), layers(1, [64, 320], true, true, device));
        values(ops::normed_linears(&Var::constant(x), &layers).remove(0).into_value())
    };
    let want = ops::with_reference(|| y(&crate::fixtures::cpu().device));
    assert_close(&y(&place.device), &want, place, "a mean of 100 spreads");
}

#[test]
fn mlps_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        let sizes = [([1, 1], 16, 64), ([2, 77], 64, 100), ([1, 300], 36, 520), ([1, 130], 128, 512), ([2, 9], 7, 10)];
        compare_mlps(place, &sizes);
    });
}

/// Of these rows, widths and inner values.
pub fn compare_mlps(place: &Place, sizes: &[([usize; 2], usize, usize)]) {
    let kinds = [MlpActivation::Gelu, MlpActivation::QuickGelu, MlpActivation::Geglu];
    for &([batch, rows], width, inner) in sizes {
        for (kind, half) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let what = format!("{kind:?} {batch} x {rows} x {width} by {inner}, halves {half}");
            compare(place, &what, &[[batch, rows, width]], |x, device| {
                ops::mlp(&x[0], &an_mlp([width, inner], kind, half, device))
            });
        }
    }
}

fn an_mlp([width, inner]: [usize; 2], kind: MlpActivation, half: bool, device: &Device) -> Mlp {
    let first_outputs = if kind == MlpActivation::Geglu { 2 * inner } else { inner };
    // Small, so that activations are where they bend.
    let layer = |seed: u64, shape: [usize; 2]| {
        let scale = 1.0 / (shape[1] as f64).sqrt();
        let weight = stored(shape, seed, false, device) * scale;
        let weight = if half { weight.cast(burn::tensor::DType::F16) } else { weight };
        Linear { weight: Weight::new(weight), bias: Some(self::weight([shape[0]], seed + 1, half, device)) }
    };
    let (first, second) = (layer(20, [first_outputs, width]), layer(30, [width, inner]));
    Mlp::new(norm(width, half, device), first, kind, second)
}

/// Forward and backward of a block as a transformer has them: each of its products does what is around it. What is launched,
/// without the attention.
pub fn launches_of_a_block(device: &Device) -> Vec<(&'static str, u64)> {
    let x = Var::leaf(filled([1, 70, 64], 1, device));
    let projections = NormedLinears::new(norm(64, true, device), layers(3, [64; 2], false, true, device));
    let mlps = [MlpActivation::QuickGelu, MlpActivation::Geglu].map(|kind| an_mlp([64, 96], kind, true, device));
    let launches = LaunchCounter::start();
    let projected = ops::normed_linears(&x, &projections);
    let h = ops::attention(&projected[0], &projected[1], &projected[2], 2, false);
    let y = mlps.iter().fold(h, |h, mlp| ops::mlp(&h, mlp));
    let dy = y.value().clone();
    let _gradients = backward(&y, dy);
    let launched = launches.take().by_kernel().into_iter();
    let mut launched: Vec<_> =
        launched.filter(|(kernel, _)| !kernel.starts_with("attention") && *kernel != "shares").collect();
    launched.sort_unstable();
    launched
}

#[test]
fn normalisations_of_joined_maps_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        for ([batch, height, width, first], second, groups) in [
            ([1, 4, 4, 8], 8, 2),
            ([2, 5, 3, 30], 15, 3),
            ([3, 3, 3, 7], 9, 4),
            ([1, 7, 9, 96], 64, 8),
            ([1, 2, 2, 2], 6, 8),
            // Fours of which one, two or three are of the first map.
            ([2, 3, 3, 5], 11, 2),
            ([2, 3, 3, 6], 10, 2),
            ([2, 3, 3, 7], 9, 2),
            // Groups that take several workgroups of hardware, across the two maps.
            ([2, 50, 51, 11], 9, 2),
        ] {
            for half in [false, true] {
                let what = format!("norm of {first} and {second} channels in {groups}, halves {half}");
                // The two differ in their channels: the second is taken from a larger one.
                let channels = first.max(second);
                compare(place, &what, &[[batch, height, width, channels]; 2], |x, device| {
                    let norm = Norm { groups, ..norm(first + second, half, device) };
                    let some = |x: &Var<4>, count: usize| narrowed(x, count);
                    let [y, joined] = ops::group_norm_silu_joined(&some(&x[0], first), &some(&x[1], second), &norm);
                    // With a gradient to what they were joined to, and without.
                    if half { y.add(&joined) } else { y }
                });
            }
        }
    });
}

/// What maps were joined to has a gradient, too, where nothing goes through the normalisation.
#[test]
fn the_gradient_to_what_was_joined_is_cut_where_only_that_is_used() {
    on_the_gpu(|place| {
        compare(place, "only what was joined", &[[2, 3, 3, 8]; 2], |x, device| {
            let [_, joined] = ops::group_norm_silu_joined(&narrowed(&x[0], 5), &x[1], &norm(13, false, device));
            joined
        });
    });
}

/// The first channels of a map.
fn narrowed(x: &Var<4>, count: usize) -> Var<4> {
    let [batch, height, width, channels] = x.dims();
    let (link, device) = (x.link(), x.value().device());
    Var::from_op(x.value().clone().narrow(3, 0, count), &[x], move |dy, gradients| {
        gradients.add(&link, || {
            let rest = Tensor::zeros([batch, height, width, channels - count], &device);
            if count == channels { dy } else { Tensor::cat(vec![dy, rest], 3) }
        });
    })
}

/// The gradients to queries, keys and values go back through one product where they are of the same input.
#[test]
fn projections_in_front_of_an_attention_are_one_product_each_way() {
    with_tiles_and_blocks(|place| {
        for (batch, length, heads, width, causal) in
            [(1, 64, 2, 32, false), (2, 77, 4, 16, true), (1, 130, 1, 64, false)]
        {
            for half in [false, true] {
                let inner = heads * width;
                let what = format!("attention of {batch} x {length} x {inner} to itself, halves {half}");
                let run = |x: &Var<3>, device: &Device| {
                    let layers = Linears::new(layers(3, [inner; 2], half, half, device));
                    let projected = ops::linears(x, &layers);
                    let [q, k, v] = &projected[..] else { unreachable!("three layers") };
                    ops::attention(q, k, v, heads, causal)
                };
                let small = |x: &Var<3>| {
                    Var::from_op(x.value().clone() * 0.1, &[x], {
                        let link = x.link();
                        move |dy, gradients| gradients.add(&link, || dy * 0.1)
                    })
                };
                compare(place, &what, &[[batch, length, inner]], |x, device| run(&small(&x[0]), device));

                let x = Var::leaf(filled([batch, length, inner], 1, &place.device));
                let y = run(&x, &place.device);
                let dy = filled(y.dims(), 9, &place.device);
                let launches = LaunchCounter::start();
                let _gradients = backward(&y, dy);
                let linear = |(kernel, count): &(&str, u64)| kernel.starts_with("linear").then_some(*count);
                let count: u64 = launches.take().by_kernel().iter().filter_map(linear).sum();
                assert_eq!(count, 1, "{what}");
            }
        }
    });
}

/// Gradients that meet are added up by the op that comes last: a skip connection's, a residual's, and that of a norm or of a
/// convolution.
#[test]
fn gradients_that_meet_are_summed_by_what_comes_last() {
    with_tiles_and_blocks(|place| {
        for shape @ [.., channels] in [[2, 5, 4, 12], [1, 7, 9, 64], [1, 3, 3, 6]] {
            let block = |x: &Var<4>, device: &Device| {
                let layer = |seed: u64| Conv2d {
                    weight: weight([channels, 9 * channels], seed, true, device),
                    bias: None,
                    kernel: [3; 2],
                    stride: 1,
                    padding: [1; 4],
                };
                let h = ops::group_norm_silu(x, &Norm { groups: 2, ..norm(channels, false, device) });
                // What is used first gets its gradient last.
                let inner = ops::conv2d_add(&h, &layer(5), x);
                let y = ops::conv2d_add(&ops::conv2d(x, &layer(3)), &layer(4), &inner);
                let [y, _] = ops::group_norm_silu_joined(&y, x, &norm(2 * channels, false, device));
                y
            };
            let what = format!("a residual block of {shape:?} with a skip connection");
            compare(place, &what, &[shape], |x, device| block(&x[0], device));

            let x = Var::leaf(filled(shape, 1, &place.device));
            let y = block(&x, &place.device);
            let dy = filled(y.dims(), 9, &place.device);
            let launches = LaunchCounter::start();
            let _gradients = backward(&y, dy);
            let launched = launches.take().by_kernel();
            assert!(launched.iter().all(|(kernel, _)| !kernel.starts_with("Kernel")), "{what}: {launched:?}");
        }
    });
}

/// With weights and without, and where channels are no multiple of four.
#[test]
fn a_loss_is_one_launch_and_equals_its_twin() {
    on_the_gpu(|place| {
        for (shape @ [batch, height, width, _], launched) in
            [([2, 8, 8, 4], true), ([3, 5, 7, 8], true), ([2, 3, 5, 3], false)]
        {
            for weights in [None, Some([batch, 1, 1, 1]), Some([batch, height, width, 1])] {
                let loss = |x: &[Var<4>], device: &Device| {
                    ops::mse(&x[0], filled(shape, 5, device), weights.map(|shape| filled(shape, 6, device)))
                };
                let what = format!("the loss of {shape:?} with weights {weights:?}");
                compare(place, &what, &[shape], |x, device| loss(x, device).reshape([1, 1, 1, 1]));
                let launches = LaunchCounter::start();
                let _loss = loss(&[Var::constant(filled(shape, 1, &place.device))], &place.device);
                let by_kernel = launches.take().by_kernel();
                let fused = by_kernel.len() == 1 && by_kernel[0].0 == "loss";
                // Weights alone are read, whatever they are of.
                assert_eq!(fused, launched || weights.is_none(), "{what}: {by_kernel:?}");
            }
        }
    });
}

#[test]
fn weighted_sums_are_one_launch() {
    on_the_gpu(|place| {
        for shape in [[1, 8, 8, 4], [3, 5, 7, 3]] {
            let tensors = |device: &Device| (1..=4).map(|seed| filled(shape, seed, device)).collect::<Vec<_>>();
            let sum = |device: &Device| {
                let terms = tensors(device);
                let other = ops::Blend::of(&terms[1], -0.5).plus(ops::Blend::of(&terms[0], 2.0)).times(3.0);
                let sum = ops::Blend::of(&terms[0], 0.25).plus(other).plus(ops::Blend::of(&terms[2], 7.0));
                let [sum, guided] = [sum.value(), ops::guided(&terms[2], &terms[3], 7.5)];
                Tensor::cat(vec![ops::twice(&sum), guided], 0)
            };
            let launches = LaunchCounter::start();
            let got = values(sum(&place.device));
            let blends = launches.take().by_kernel().into_iter().find(|(kernel, _)| *kernel == "blend");
            assert_eq!(blends, Some(("blend", 3)));
            let want = ops::with_reference(|| values(sum(&crate::fixtures::cpu().device)));
            assert_close(&got, &want, place, &format!("a weighted sum of {shape:?}"));
        }
    });
}

#[test]
fn sums_of_more_terms_than_a_launch_takes_are_made_all_the_same() {
    on_the_gpu(|place| {
        for terms in [5, 6, 9] {
            let sum = |device: &Device| {
                let term = |seed: u64| ops::Blend::of(&filled([1, 5, 3, 4], seed, device), seed as f64 - 2.5);
                values((1..=terms).map(term).reduce(|sum, term| sum.plus(term)).expect("terms").times(0.5).value())
            };
            let launches = LaunchCounter::start();
            let got = sum(&place.device);
            let blends = launches.take().by_kernel().into_iter().find(|(kernel, _)| *kernel == "blend");
            assert_eq!(blends, (terms == 5).then_some(("blend", 1)), "{terms} terms");
            assert_close(&got, &sum(&crate::fixtures::cpu().device), place, &format!("{terms} terms"));
        }
    });
}

/// On a GPU a step's coefficients are put together before anything is computed; on the processor each sum is made.
#[test]
fn every_sampler_makes_the_same_steps_on_a_gpu() {
    let file = crate::fixtures::path("tiny-sd1/scheduler/scheduler_config.json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let config = |prediction: &str, clips: bool| {
        let mut json = json.clone();
        json["prediction_type"] = prediction.into();
        json["clip_sample"] = clips.into();
        SchedulerConfig::from_json(&json.to_string(), "the test's").unwrap()
    };
    let walk = |kind: SamplerKind, karras: bool, config: &SchedulerConfig, device: &Device| {
        let shape = [1, 5, 3, 4];
        let mut sampler = Sampler::new(kind, karras, config, 6).unwrap();
        let calls = sampler.timesteps().len();
        sampler.begin();
        let mut sample = filled(shape, 1, device) * sampler.init_noise_sigma();
        let mut seen = Vec::new();
        for call in 0..calls {
            let input = sampler.scale_model_input(sample.clone(), call);
            let output = filled(shape, 10 + call as u64, device) + input.clone() * 0.5;
            let noise = sampler.needs_noise().then(|| filled(shape, 50 + call as u64, device));
            let stepped = sampler.step(output, call, sample, noise);
            sample = stepped.prev_sample.clone();
            seen.push([input, stepped.prev_sample, stepped.denoised.value()].map(values));
        }
        seen
    };
    on_the_gpu(|place| {
        for (kind, karras) in SamplerKind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            for (prediction, clips) in [("epsilon", false), ("epsilon", true), ("v_prediction", false)] {
                if karras && !kind.takes_karras() {
                    continue;
                }
                let config = config(prediction, clips);
                let got = walk(kind, karras, &config, &place.device);
                let want = walk(kind, karras, &config, &crate::fixtures::cpu().device);
                for (call, (got, want)) in got.iter().zip(&want).enumerate() {
                    for (what, (got, want)) in ["input", "sample", "preview"].into_iter().zip(got.iter().zip(want)) {
                        let what = format!("{}, {prediction}, call {call}: {what}", kind.name());
                        assert_close(got, want, place, &what);
                    }
                }
            }
        }
    });
}

#[test]
fn a_prediction_with_keys_and_values_of_prompts_is_that_with_their_states() {
    crate::fixtures::on_every_device(|place| {
        let session = crate::fixtures::open("tiny-sd1", place, None);
        let model = session.model();
        let sample = filled([2, 8, 8, 4], 1, &place.device);
        let context = Var::constant(filled([2, 77, model.config.word_width()], 2, &place.device));
        let given = Conditions::of_states(context);
        let want = values(model.unet.forward(&sample, &[321.0, 5.0], &given, false).into_value());
        let made = model.unet.keys_and_values(&given);
        for _ in 0..2 {
            let got = values(model.unet.predict(&sample, &[321.0, 5.0], &made));
            assert_close(&got, &want, place, "with the keys and values");
        }
    });
}
