//! Each WGSL kernel against its twin, the composition of Burn ops, at sizes that fit no tile.
//!
//! The twins run on the `cpu` device: the comparison is then also one of two implementations of everything below.

use std::collections::BTreeSet;

use burn::tensor::{DType, Device, Tensor};
use pseudoword::noise::{Noise, Stream};
use pseudoword::ops::{self, Conv2d, LaunchCounter, Linear, Linears, Norm, Shift, SoftwareGpu, Tiles, Var, Weight};
use pseudoword::ops::{backward, with_reference, with_spoiled_results};
use pseudoword::unet::Conditions;
use pseudoword::unet::graph::Graph;

use crate::fixtures::{Place, assert_close, cpu, gpu, values};

pub(crate) fn filled<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let numbers = Noise::new(seed).draws(0, Stream::Init).normals(shape.iter().product());
    Tensor::<1>::from_floats(numbers.as_slice(), device).reshape(shape)
}

/// A weight, stored as halves where `half` says so.
pub(crate) fn weight<const D: usize>(shape: [usize; D], seed: u64, half: bool, device: &Device) -> Weight<D> {
    Weight::new(stored(shape, seed, half, device))
}

pub(crate) fn stored<const D: usize>(shape: [usize; D], seed: u64, half: bool, device: &Device) -> Tensor<D> {
    let count = shape.iter().product();
    let numbers = Noise::new(seed).draws(1, Stream::Init).normals(count);
    // Halves on both devices, so that both compute with the same numbers.
    let rounded: Vec<f32> =
        numbers.iter().map(|value| if half { half::f16::from_f32(*value).to_f32() } else { *value }).collect();
    let dtype = if half { DType::F16 } else { DType::F32 };
    let data = burn::tensor::TensorData::new(rounded, shape);
    Tensor::from_data(data, (device, dtype))
}

/// Compares an op and the gradients to its inputs with the twin's. No result depends on what was where it is written.
pub(crate) fn compare<const D: usize, const E: usize>(
    place: &Place,
    what: &str,
    shapes: &[[usize; D]],
    op: impl Fn(&[Var<D>], &Device) -> Var<E>,
) {
    let run = |device: &Device| {
        let inputs: Vec<Var<D>> =
            shapes.iter().enumerate().map(|(i, shape)| Var::leaf(filled(*shape, i as u64 + 1, device))).collect();
        let y = op(&inputs, device);
        let mut results = vec![values(y.value().clone())];
        let mut gradients = backward(&y, filled(y.dims(), 9, device));
        results.extend(inputs.iter().map(|input| values(gradients.take(input).expect("a gradient"))));
        results
    };
    let want = with_reference(|| run(&cpu().device));
    let got = with_spoiled_results(|| run(&place.device));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let part = if i == 0 { "y".to_owned() } else { format!("gradient {i}") };
        assert_close(got, want, place, &format!("{what} {part}"));
    }
}

pub(crate) fn on_the_gpu(test: impl Fn(&Place)) {
    let (place, _turn) = gpu();
    test(&Place { tolerance: 2e-5, ..place });
}

/// With the kernels for GPUs and with those for software GPUs.
pub(crate) fn with_tiles_and_blocks(test: impl Fn(&Place)) {
    on_the_gpu(|place| {
        [None, Some(SoftwareGpu::Lavapipe), Some(SoftwareGpu::Other)]
            .into_iter()
            .for_each(|software| ops::with_blocks(software, || test(place)))
    });
}

#[test]
fn linear_layers_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        // Rows, inputs, outputs: each tile, and sizes that end anywhere in it.
        let sizes = [
            ([1, 1], 320, 1280),
            ([2, 77], 40, 36),
            ([1, 130], 68, 72),
            ([3, 5], 7, 9),
            ([1, 33], 12, 3),
            ([1, 30], 20, 24),
            ([4, 16], 128, 1),
            ([1, 300], 33, 130),
            ([1, 512], 16, 520),
            ([1, 2048], 20, 1040),
        ];
        for (i, ([batch, rows], inputs, outputs)) in sizes.into_iter().enumerate() {
            // One storage with a residual and the other without, in turns.
            for (half, residual) in [(false, i % 2 == 0), (true, i % 2 == 1)] {
                let what =
                    format!("linear {batch} x {rows} x {inputs} to {outputs}, halves {half}, residual {residual}");
                let shapes = [[batch, rows, inputs], [batch, rows, outputs]];
                compare(place, &what, &shapes[..1 + usize::from(residual)], |x, device| {
                    let bias = (outputs % 2 == 0).then(|| weight([outputs], 4, half, device));
                    let layer = Linear { weight: weight([outputs, inputs], 3, half, device), bias };
                    match x {
                        [x, residual] => ops::linear_add(x, &layer, residual),
                        x => ops::linear(&x[0], &layer),
                    }
                });
            }
        }
    });
}

/// Two layers of one input, the second on top of the first: what comes back through the second is added to what came
/// back before. And a layer on top of its own input, where the same values would be bound twice.
#[test]
fn gradients_that_meet_in_a_linear_layer_are_added_there() {
    with_tiles_and_blocks(|place| {
        for ([batch, rows], width) in [([1, 1], 16), ([2, 19], 36), ([4, 33], 7), ([3, 64], 68)] {
            for half in [false, true] {
                let shape = [batch, rows, width];
                let layer = |seed: u64, device: &Device| Linear {
                    weight: weight([width; 2], seed, half, device),
                    bias: (seed == 3).then(|| weight([width], 4, half, device)),
                };
                compare(place, &format!("two layers of {shape:?}, halves {half}"), &[shape], |x, device| {
                    ops::linear_add(&x[0], &layer(3, device), &ops::linear(&x[0], &layer(5, device)))
                });
                compare(place, &format!("a layer beside {shape:?}, halves {half}"), &[shape], |x, device| {
                    ops::linear_add(&x[0], &layer(3, device), &x[0])
                });
            }
        }
    });
}

/// Layers whose weights lie one after the other are one launch going forward; others are one each.
#[test]
fn layers_of_one_input_equal_each_of_them() {
    with_tiles_and_blocks(|place| {
        // Rows, inputs, outputs, layers: the last two sizes are those of layers that stay apart.
        let sizes =
            [([2, 77], 64, 32, 3), ([1, 130], 128, 36, 2), ([3, 5], 64, 8, 1), ([1, 9], 64, 6, 2), ([1, 5], 3, 8, 2)];
        for ([batch, rows], inputs, outputs, count) in sizes {
            for half in [false, true] {
                let what = format!("{count} linear layers {batch} x {rows} x {inputs} to {outputs}, halves {half}");
                let is_one = count > 1 && outputs % 4 == 0 && inputs % 64 == 0;
                compare(place, &what, &[[batch, rows, inputs]], |x, device| {
                    let all = stored([count * outputs, inputs], 3, half, device);
                    let part = |i: usize| Linear {
                        weight: if is_one {
                            Weight::new(all.clone().narrow(0, i * outputs, outputs))
                        } else {
                            weight([outputs, inputs], i as u64, half, device)
                        },
                        bias: Some(weight([outputs], 10 + i as u64, half, device)),
                    };
                    let layers = Linears::new((0..count).map(part).collect());
                    let launches = LaunchCounter::start();
                    let results = ops::linears(&x[0], &layers);
                    let launched = launches.take().total();
                    if ops::uses_kernels(device) {
                        assert_eq!(launched, if is_one { 1 } else { count as u64 }, "{what}");
                    }
                    // Other gradients for each.
                    let scaled = |(i, y): (usize, &Var<3>)| (0..=i).fold(y.clone(), |sum, _| sum.add(y));
                    results.iter().enumerate().map(scaled).reduce(|a, b| a.add(&b)).expect("at least one")
                });
            }
        }
    });
}

/// Results that are too many for one binding of a device with WebGPU's own limits are made by each layer alone.
#[test]
fn layers_of_one_input_are_apart_where_no_binding_takes_their_results() {
    on_the_gpu(|place| {
        let (rows, inputs, outputs) = (36_000, 64, 320);
        compare(place, "three layers of many rows", &[[1, rows, inputs]], |x, device| {
            let all = stored([3 * outputs, inputs], 3, true, device);
            let part = |i| Linear { weight: Weight::new(all.clone().narrow(0, i * outputs, outputs)), bias: None };
            let results = ops::linears(&x[0], &Linears::new([0, 1, 2].map(part).to_vec()));
            results.into_iter().reduce(|a, b| a.add(&b)).expect("three")
        });
    });
}

#[test]
fn convolutions_with_a_shift_for_each_sample_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        for (input, outputs) in [([1, 8, 8, 16], 16), ([3, 7, 5, 20], 36), ([2, 9, 11, 3], 7)] {
            let what = format!("conv {input:?} to {outputs} with shifts");
            // Among columns that are others'.
            let columns = outputs + 12;
            compare(place, &what, &[input, [input[0], 1, 1, columns]], |x, device| {
                let weight = weight([outputs, 9 * input[3]], 3, true, device);
                let layer = Conv2d { weight, bias: None, kernel: [3; 2], stride: 1, padding: [1; 4] };
                let table = x[1].reshape([input[0], columns]);
                ops::conv2d_shifted(&x[0], &layer, &Shift { table, first: 8 })
            });
        }
    });
}

#[test]
fn convolutions_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        // Input, output channels, window, stride, padding (top, left, bottom, right).
        #[allow(clippy::type_complexity, reason = "a table: map, outputs, kernel, stride, padding")]
        let sizes: [([usize; 4], usize, usize, usize, [usize; 4]); 16] = [
            ([1, 8, 8, 16], 16, 3, 1, [1; 4]),
            ([2, 7, 5, 20], 36, 3, 1, [1; 4]),
            ([1, 16, 16, 4], 64, 3, 1, [1; 4]),
            ([1, 9, 11, 3], 8, 3, 1, [1; 4]),
            ([1, 9, 11, 12], 3, 3, 1, [1; 4]),
            ([4, 6, 6, 8], 4, 3, 1, [1; 4]),
            ([1, 3, 1, 5], 7, 3, 1, [1; 4]),
            ([1, 5, 6, 24], 20, 3, 1, [1; 4]),
            ([1, 4, 4, 24], 68, 3, 1, [1; 4]),
            // The U-Net's downsampling, at even and odd sizes.
            ([2, 8, 8, 16], 16, 3, 2, [1; 4]),
            ([1, 9, 7, 12], 20, 3, 2, [1; 4]),
            ([1, 5, 6, 6], 10, 3, 2, [1; 4]),
            // The autoencoder's, which pads at the far sides only.
            ([1, 8, 8, 8], 8, 3, 2, [0, 0, 1, 1]),
            ([3, 7, 9, 12], 8, 3, 2, [0, 0, 1, 1]),
            // A wide one, for the larger tiles; a 1 x 1 window with gaps.
            ([1, 40, 40, 8], 260, 3, 1, [1; 4]),
            ([1, 9, 9, 8], 8, 1, 2, [0; 4]),
        ];
        for (i, (input, outputs, window, stride, padding)) in sizes.into_iter().enumerate() {
            let [top, left, bottom, right] = padding;
            let out = |size: usize, padding: usize| (size + padding - window) / stride + 1;
            let output = [input[0], out(input[1], top + bottom), out(input[2], left + right), outputs];
            // One storage with a residual and the other without, in turns.
            for (half, residual) in [(false, i % 2 == 0), (true, i % 2 == 1)] {
                let what = format!(
                    "conv {input:?} to {outputs}, {window}/{stride} {padding:?}, halves {half}, residual {residual}"
                );
                compare(place, &what, &[input, output][..1 + usize::from(residual)], |x, device| {
                    let layer = Conv2d {
                        weight: weight([outputs, window * window * input[3]], 3, half, device),
                        bias: (outputs % 3 != 0).then(|| weight([outputs], 4, half, device)),
                        kernel: [window; 2],
                        stride,
                        padding,
                    };
                    match x {
                        [x, residual] => ops::conv2d_add(x, &layer, residual),
                        x => ops::conv2d(&x[0], &layer),
                    }
                });
            }
        }
    });
}

/// Which tile is taken is a matter of speed alone.
#[test]
fn products_are_right_in_every_tile() {
    on_the_gpu(|place| {
        for (name, tiles) in Tiles::each() {
            ops::with_tiles(tiles, || {
                for ([batch, rows], inputs, outputs) in
                    [([1, 1], 36, 40), ([2, 77], 40, 36), ([1, 5], 7, 9), ([1, 140], 68, 72)]
                {
                    let what = format!("tiles of {name}, linear {batch} x {rows} x {inputs} to {outputs}");
                    let shapes = [[batch, rows, inputs], [batch, rows, outputs]];
                    compare(place, &what, &shapes, |x, device| {
                        let bias = Some(weight([outputs], 4, true, device));
                        let layer = Linear { weight: weight([outputs, inputs], 3, true, device), bias };
                        ops::linear_add(&x[0], &layer, &x[1])
                    });
                }
                for (input, outputs, stride) in
                    [([2, 7, 5, 20], 36, 1), ([1, 9, 11, 3], 7, 1), ([1, 12, 13, 12], 20, 2)]
                {
                    let what = format!("tiles of {name}, conv {input:?} to {outputs}, stride {stride}");
                    compare(place, &what, &[input], |x, device| {
                        let bias = Some(weight([outputs], 4, true, device));
                        let weight = weight([outputs, 9 * input[3]], 3, true, device);
                        ops::conv2d(&x[0], &Conv2d { weight, bias, kernel: [3; 2], stride, padding: [1; 4] })
                    });
                }
            });
        }
    });
}

#[test]
fn group_normalisations_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        // The last two have groups so large that several workgroups of hardware do one, in four spans and in five.
        let small = [([1, 4, 4, 8], 2), ([2, 5, 3, 30], 3), ([3, 8, 8, 96], 8), ([1, 7, 9, 320], 32)];
        let large = [([1, 50, 51, 20], 2), ([2, 41, 67, 24], 2)];
        for (shape, groups) in small.into_iter().chain(large) {
            for half in [false, true] {
                let what = format!("group norm {shape:?} in {groups}, halves {half}");
                let norm = |device: &Device| Norm {
                    weight: weight([shape[3]], 3, half, device),
                    bias: weight([shape[3]], 4, half, device),
                    eps: 1e-5,
                    groups,
                };
                compare(place, &what, &[shape], |x, device| ops::group_norm(&x[0], &norm(device)));
                // On top of a gradient that came before.
                compare(place, &format!("{what}, silu, and its input"), &[shape], |x, device| {
                    ops::group_norm_silu(&x[0], &norm(device)).add(&x[0])
                });
            }
        }
    });
}

/// With the kernels for GPUs and with those for software GPUs, which are one form for all of these.
fn with_both_attentions(test: impl Fn(&Place)) {
    on_the_gpu(|place| {
        for software in [None, Some(SoftwareGpu::Lavapipe)] {
            ops::with_blocks(software, || test(place));
        }
    });
}

#[test]
fn attentions_equal_their_twin() {
    with_both_attentions(compare_attentions);
}

pub(crate) fn compare_attentions(place: &Place) {
    // Samples, queries, keys, heads, width of a head: each width, sizes that end anywhere in a tile, few keys for
    // many queries.
    let sizes = [
        (1, 64, 64, 2, 40),
        (2, 65, 77, 2, 12),
        (1, 200, 77, 1, 16),
        (4, 7, 5, 3, 8),
        (1, 77, 77, 2, 32),
        (1, 70, 33, 1, 64),
        (1, 67, 50, 2, 80),
        (1, 66, 70, 1, 84),
        (1, 9, 130, 1, 160),
        (1, 10, 11, 1, 6),
        (1, 65, 66, 3, 4),
        (2, 33, 70, 1, 24),
        (1, 130, 129, 1, 48),
        (1, 97, 65, 1, 96),
        (1, 129, 81, 1, 128),
        (1, 65, 65, 2, 156),
    ];
    for (batch, queries, keys, heads, width) in sizes {
        for causal in [false, true] {
            if causal && queries > keys {
                continue;
            }
            let what = format!("attention {batch} x {queries} x {keys}, {heads} heads of {width}, causal {causal}");
            let shapes = [queries, keys, keys].map(|length| [batch, length, heads * width]);
            let launches = LaunchCounter::start();
            compare(place, &what, &shapes, |x, _| ops::attention(&x[0], &x[1], &x[2], heads, causal));
            let has_kernels = launches.take().by_kernel().iter().any(|(kernel, _)| kernel.starts_with("attention"));
            assert_eq!(has_kernels, width % 4 == 0, "{what}: by our kernels, not by the composition");
        }
    }
}

#[test]
fn a_large_score_does_not_overflow_an_attention() {
    with_both_attentions(|place| {
        let shapes = [[1, 66, 16]; 3];
        // Scores of some hundreds, each known to a few millionths of that.
        let place = &Place { tolerance: 2e-4, ..place.clone() };
        compare(place, "large scores", &shapes, |x, _| {
            let q = Var::constant(x[0].value().clone() * 100.0);
            ops::attention(&q, &x[1], &x[2], 2, false).add(&x[0])
        });
    });
}

#[test]
fn layer_normalisations_equal_their_twin() {
    with_tiles_and_blocks(|place| {
        for shape in [[1, 1, 320], [2, 9, 96], [1, 5, 7], [3, 4, 130], [1, 2, 768]] {
            for half in [false, true] {
                compare(place, &format!("layer norm {shape:?}, halves {half}"), &[shape], |x, device| {
                    let (weight, bias) = (weight([shape[2]], 3, half, device), weight([shape[2]], 4, half, device));
                    let y = ops::layer_norm(&x[0], &Norm { weight, bias, eps: 1e-5, groups: 1 });
                    // The second on top of a gradient that came before.
                    if half { y } else { y.add(&x[0]) }
                });
            }
        }
    });
}

#[test]
fn activations_equal_their_twin() {
    on_the_gpu(|place| {
        for shape in [[1, 1, 8], [2, 9, 96], [1, 5, 7], [3, 77, 130]] {
            for (name, op) in
                [("silu", ops::silu as fn(&Var<3>) -> _), ("gelu", ops::gelu), ("quick_gelu", ops::quick_gelu)]
            {
                let launches = LaunchCounter::start();
                compare(place, &format!("{name} {shape:?}"), &[shape], |x, _| op(&x[0]));
                assert_eq!(launches.take().total(), 2, "{name}: one forward, one back");
            }
        }
    });
}

#[test]
fn geglus_equal_their_twin() {
    on_the_gpu(|place| {
        for shape in [[1, 1, 8], [2, 9, 96], [1, 5, 14], [3, 77, 512]] {
            compare(place, &format!("geglu {shape:?}"), &[shape], |x, _| ops::geglu(&x[0]));
        }
    });
}

/// What was loaded lies as it must for products of several layers at once.
#[test]
fn a_unet_makes_one_product_for_all_layers_of_one_input() {
    on_the_gpu(|place| {
        let session = crate::fixtures::open("tiny-sd1", place, None);
        let model = session.model();
        let sample = filled([2, 8, 8, 4], 1, &place.device);
        let context = Var::constant(filled([2, 77, model.config.word_width()], 2, &place.device));
        let launches = LaunchCounter::start();
        ops::with_blocks(None, || model.unet.forward(&sample, &[321.0, 5.0], &Conditions::of_states(context), false));
        let launched = launches.take().by_kernel();
        let of = |name| launched.iter().find(|(kernel, _)| *kernel == name).map(|(_, count)| *count);
        let graph = Graph::new(&model.config.unet);
        let layers = || graph.stages().flat_map(|stage| &stage.layers);
        let shortcuts = layers().filter(|layer| layer.resnet[0] != layer.resnet[1]).count();
        // In a transformer a layer before and one after; in each of its blocks queries, keys and values, what comes out of
        // the attention, queries, keys and values of the context, what comes out, and the second of the MLP.
        let transformers = || layers().filter_map(|layer| layer.transformer);
        let linear = transformers().map(|transformer| 2 + 6 * transformer.blocks).sum::<usize>();
        // What all residual blocks make of the time embedding is one.
        assert_eq!(of("linear"), Some((1 + shortcuts + linear) as u64));
        // The first of the MLP has its activation in it.
        let blocks = transformers().map(|transformer| transformer.blocks).sum::<usize>();
        assert_eq!(of("linear_geglu"), Some(blocks as u64));
    });
}

/// The gradient of the whole U-Net to a prompt's hidden states.
#[test]
fn the_gradient_through_the_unet_is_the_same_without_the_kernels() {
    on_the_gpu(|place| {
        let session = crate::fixtures::open("tiny-sd1", place, None);
        let model = session.model();
        let sample = filled([1, 8, 8, 4], 1, &place.device);
        let gradient = || {
            let width = model.config.word_width();
            let context = Var::leaf(filled([1, 77, width], 2, &place.device));
            let y = model.unet.forward(&sample, &[321.0], &Conditions::of_states(context.clone()), false);
            let dy = filled(y.dims(), 3, &place.device);
            values(backward(&y, dy).take(&context).expect("a gradient"))
        };
        let place = Place { tolerance: 1e-3, ..place.clone() };
        assert_close(&gradient(), &with_reference(gradient), &place, "tiny-sd1, kernels on against off");
    });
}

#[test]
fn halves_are_widened_wherever_they_end() {
    on_the_gpu(|place| {
        for count in [1, 3, 4, 255, 4098, 1_000_003] {
            let values_of = |i: usize| half::f16::from_f32((i % 2039) as f32 / 8.0 - 100.0);
            let bytes = (0..count).flat_map(|i| values_of(i).to_le_bytes()).collect();
            let data =
                burn::tensor::TensorData::from_bytes(burn::tensor::Bytes::from_bytes_vec(bytes), [count], DType::F16);
            let weight = Weight::<1>::new(Tensor::from_data(data, (&place.device, DType::F16)));
            let wide = weight.f32();
            assert_eq!(wide.dtype(), DType::F32);
            let ends = |from: usize, to: usize| values(wide.clone().narrow(0, from, to - from));
            for (from, to) in [(0, count.min(5000)), (count.saturating_sub(5000), count)] {
                let want: Vec<f32> = (from..to).map(|i| values_of(i).to_f32()).collect();
                assert_eq!(ends(from, to), want, "{count} values");
            }
        }
    });
}

#[test]
fn nothing_is_launched_that_is_not_validated() {
    with_tiles_and_blocks(|place| {
        pollster::block_on(ops::self_test(&place.device)).expect("right values");
        pollster::block_on(ops::self_test_in_eight_bits(&place.device)).expect("right values");
    });
    // Those of the tests beside this one, too.
    let launched = ops::launched_kernels();
    assert!(launched.len() > 20, "{} forms", launched.len());
    let validated: BTreeSet<[u8; 32]> = ops::kernel_forms().iter().map(|form| form.hash()).collect();
    for form in launched {
        assert!(validated.contains(&form.hash()), "{}: {}", form.name(), form.description());
    }
}
