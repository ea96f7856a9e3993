//! Products in f16 against their twin in f32.

use std::cell::RefCell;

use burn::tensor::Tensor;
use pseudoword::gpu::kept::Keep;
use pseudoword::gpu::{self as gpu_of, precision};
use pseudoword::ops::{self, Conv2d, HalfProducts, Linear, Var};

use crate::fixtures::{Place, open, values};
use crate::fused::{compare_a_large_mean, compare_layers_behind_a_norm, compare_mlps, launches_of_a_block};
use crate::kernels::{compare, compare_attentions, filled, on_the_gpu, weight};

/// Each way to make products in f16 that is right on the device, those for subgroups that it does not have included. Mesa's
/// lavapipe has matrices since version 26 (`tools/gpu/mesa26-tests` runs this there); older ones have f16 without matrices.
pub(crate) fn in_each_way(test: impl Fn(&Place, HalfProducts)) {
    on_the_gpu(|place| {
        let chosen = gpu_of::choose(gpu_of::DeviceChoice::Gpu).unwrap();
        let ways = gpu_of::started(&chosen).unwrap().possible_half_products();
        if ways.is_empty() {
            assert!(!chosen.name.contains("llvmpipe"), "lavapipe has f16");
            println!("nothing to compare: {} has no f16", chosen.name);
        }
        let place = Place { tolerance: 2e-3, ..place.clone() };
        for way in ways {
            println!("{}", way.name());
            test(&place, way);
        }
    });
}

/// In each tile.
#[test]
fn products_in_f16_equal_their_twin() {
    in_each_way(|place, way| {
        for tile in [0, 1, 2] {
            println!("tile {tile}");
            ops::with_half_products(way, Some(tile), || in_f16_equal_their_twin(place));
        }
    });
}

/// Products that normalise their rows, activate their result or take a slope, in each tile.
#[test]
fn fused_products_in_f16_equal_their_twin() {
    in_each_way(|place, way| {
        for tile in [0, 1, 2] {
            println!("tile {tile}");
            ops::with_half_products(way, Some(tile), || {
                compare_layers_behind_a_norm(
                    place,
                    &[([2, 77], 64, 32, 3), ([1, 130], 36, 132, 1), ([1, 5], 64, 64, 1)],
                );
                compare_a_large_mean(place);
                compare_mlps(place, &[([2, 77], 64, 100), ([1, 130], 36, 264)]);
            });
        }
    });
}

/// What is around a product in f16 takes no launch of its own.
#[test]
fn products_in_f16_do_what_is_around_them() {
    in_each_way(|place, way| {
        let name = |plain: &'static str, count: u64| {
            let matrices = matches!(way, HalfProducts::Matrices { .. });
            (if matrices { format!("{plain}_matrices") } else { plain.to_owned() }, count)
        };
        let got = ops::with_half_products(way, None, || launches_of_a_block(&place.device));
        let got: Vec<_> = got.into_iter().map(|(kernel, count)| (kernel.to_owned(), count)).collect();
        let mut want = vec![
            // Forward the second layers of both MLPs, back the first ones and the projections.
            name("linear", 2 + 2 + 1),
            name("linear_normed", 1),
            name("linear_normed_activated", 1),
            name("linear_normed_geglu", 1),
            name("linear_slope", 2),
            ("layer_norm_backward".to_owned(), 3),
        ];
        want.sort_unstable();
        assert_eq!(got, want, "{}", way.name());
    });
}

/// With matrices alone: without them attention stays in f32.
#[test]
fn attentions_in_f16_equal_their_twin() {
    in_each_way(|place, way| {
        if matches!(way, HalfProducts::Strips) {
            return;
        }
        ops::with_half_products(way, None, || {
            compare_attentions(place);
            compare_small_scores(place);
            // Beyond f16's largest and below its smallest.
            compare(place, "attention of values beyond f16", &[[1, 70, 80]; 3], |x, _| {
                let [q, k, v] = [(&x[0], 1e6), (&x[1], 1e-6), (&x[2], 1e7)].map(|(x, by)| times(x, [by; 2]));
                times(&ops::attention(&q, &k, &v, 2, false), [1e-16; 2])
            });
            // The last keys matter so much more than the first ones that sums are made smaller on the way.
            compare(place, "attention to larger and larger keys", &[[1, 200, 48]; 3], |x, _| {
                ops::attention(&x[0], &times(&x[1], [0.1, 4.0]), &x[2], 1, false)
            });
        });
    });
}

/// With more shares of rows than lavapipe has subgroups, which are done in turns.
#[test]
fn attentions_in_f16_are_right_where_rows_are_done_in_turns() {
    in_each_way(|place, way| {
        if matches!(way, HalfProducts::Matrices { shape: 8, subgroup: 32 }) {
            let way = HalfProducts::Matrices { shape: 8, subgroup: 4 };
            ops::with_half_products(way, None, || {
                compare_small_scores(place);
                for (queries, keys, width, causal) in [(70, 77, 40, false), (65, 130, 160, false), (129, 129, 16, true)]
                {
                    let what = format!("attention {queries} x {keys}, a head of {width}, in turns");
                    let shapes = [queries, keys, keys].map(|length| [1, length, width]);
                    compare(place, &what, &shapes, |x, _| ops::attention(&x[0], &x[1], &x[2], 1, causal));
                }
            });
        }
    });
}

/// Scores of about -40: what is no score must not count beside them. What all keys have in common is rounded with them, so
/// gradients to queries are known less well.
fn compare_small_scores(place: &Place) {
    let place = &Place { tolerance: 5e-3, ..place.clone() };
    compare(place, "attention with small scores", &[[1, 70, 40], [1, 77, 40], [1, 77, 40]], |x, _| {
        ops::attention(&moved(&x[0], 2.6), &moved(&x[1], -2.6), &x[2], 1, false)
    });
}

/// A tensor with a number added to each value.
fn moved(x: &Var<3>, by: f32) -> Var<3> {
    let link = x.link();
    Var::from_op(x.value().clone() + by, &[x], move |dy, gradients| gradients.add(&link, || dy))
}

/// A tensor with its first position multiplied by one number, its last by another, and those between by numbers between.
fn times(x: &Var<3>, [first, last]: [f32; 2]) -> Var<3> {
    let [_, length, _] = x.dims();
    let factors: Vec<f32> = (0..length).map(|i| first + (last - first) * i as f32 / (length - 1) as f32).collect();
    let factors = Tensor::<1>::from_floats(factors.as_slice(), &x.value().device()).reshape([1, length, 1]);
    let link = x.link();
    Var::from_op(x.value().clone() * factors.clone(), &[x], move |dy, gradients| gradients.add(&link, || dy * factors))
}

fn in_f16_equal_their_twin(place: &Place) {
    for (i, ([batch, rows], inputs, outputs)) in
        [([1, 1], 320, 132), ([2, 77], 40, 36), ([1, 130], 68, 72), ([1, 300], 36, 132)].into_iter().enumerate()
    {
        for (half, residual) in [(false, i % 2 == 0), (true, i % 2 == 1)] {
            let what = format!("linear {batch} x {rows} x {inputs} to {outputs}, halves {half}, residual {residual}");
            let shapes = [[batch, rows, inputs], [batch, rows, outputs]];
            compare(place, &what, &shapes[..1 + usize::from(residual)], |x, device| {
                let bias = (i != 1).then(|| weight([outputs], 4, half, device));
                let layer = Linear { weight: weight([outputs, inputs], 3, half, device), bias };
                match x {
                    [x, residual] => ops::linear_add(x, &layer, residual),
                    x => ops::linear(&x[0], &layer),
                }
            });
        }
    }
    for (map, outputs, kernel, stride, padding) in [
        ([2, 7, 5, 20], 36, 3, 1, [1; 4]),
        ([1, 16, 16, 4], 64, 3, 1, [1; 4]),
        ([1, 4, 4, 24], 68, 3, 1, [1; 4]),
        ([1, 9, 7, 12], 20, 3, 2, [1; 4]),
        ([3, 7, 9, 12], 8, 3, 2, [0, 0, 1, 1]),
        ([1, 20, 20, 8], 132, 3, 1, [1; 4]),
        ([1, 9, 9, 8], 8, 1, 2, [0; 4]),
    ] {
        compare(place, &format!("convolution {map:?} to {outputs}, {kernel} by {stride}"), &[map], |x, device| {
            let weight_ = weight([outputs, kernel * kernel * map[3]], 3, true, device);
            let bias = Some(weight([outputs], 4, true, device));
            ops::conv2d(&x[0], &Conv2d { weight: weight_, bias, kernel: [kernel; 2], stride, padding })
        });
    }
}

/// A weight that asks for f32 gets it.
#[test]
fn exact_weights_are_multiplied_in_f32_whatever_is_chosen() {
    on_the_gpu(|place| {
        for way in ops::HalfProducts::ALL {
            ops::with_half_products(way, Some(0), || {
                compare(place, "an exact layer", &[[1, 40, 36]], |x, device| {
                    let weight = weight([32, 36], 3, false, device).exact();
                    ops::linear(&x[0], &Linear { weight, bias: None })
                });
                compare(place, "an exact attention", &[[1, 40, 36]; 3], |x, _| {
                    ops::attention_exact(&x[0], &x[1], &x[2], 1, false)
                });
            });
        }
    });
}

/// All of it: f16 would show in pictures.
#[test]
fn the_autoencoder_is_in_f32_whatever_is_chosen() {
    on_the_gpu(|place| {
        // Its attention has a head that f16 has a kernel for.
        let session = open("mini", place, None);
        let model = session.model();
        let decoder = pollster::block_on(model.decoder(&mut |_| ())).unwrap();
        let encoder = pollster::block_on(model.encoder(&mut |_| ())).unwrap();
        let (latents, picture) = (filled([1, 8, 8, 4], 1, &place.device), filled([1, 32, 32, 3], 2, &place.device));
        let run = || [values(decoder.decode(&latents)), values(encoder.encode(&picture).mean)];
        let full = ops::with_blocks(None, run);
        let half = ops::with_half_products(HalfProducts::Matrices { shape: 8, subgroup: 8 }, None, run);
        assert!(full == half, "not the same numbers");
    });
}

/// Some are caught: the driver's.
#[test]
fn a_panic_leaves_no_way_behind() {
    on_the_gpu(|place| {
        let fails = || ops::with_half_products(HalfProducts::Strips, None, || panic!("the driver fell over"));
        assert!(std::panic::catch_unwind(fails).is_err());
        assert_eq!(ops::half_products_of(&place.device), None);
    });
}

/// A choice that cannot be had changes nothing.
#[test]
fn products_are_made_as_before_where_f16_is_refused() {
    on_the_gpu(|place| {
        let chosen = gpu_of::choose(gpu_of::DeviceChoice::Gpu).unwrap();
        if gpu_of::started(&chosen).unwrap().possible_half_products().is_empty() {
            assert!(!chosen.name.contains("llvmpipe"), "lavapipe has f16");
            println!("nothing to refuse: {} has no f16", chosen.name);
            return;
        }
        let keep = InMemory(RefCell::default());
        let decide = || pollster::block_on(precision::decide(&chosen, &keep, gpu_of::Precision::F16, false));
        let all_are_right = decide().unwrap().unwrap();
        assert!(all_are_right.used.is_some() && all_are_right.findings.wrong().is_none(), "{all_are_right:?}");
        let kept = String::from_utf8(keep.0.take().unwrap()).unwrap();
        keep.0.replace(Some(kept.replace("\"wrong\": null", "\"wrong\": \"it was a Monday\"").into_bytes()));
        let refused = decide();
        let after = ops::half_products_of(&place.device);
        ops::choose_half_products(&place.device, None);
        assert!(refused.as_ref().is_err_and(|error| error.to_string().contains("it was a Monday")), "{refused:?}");
        assert_eq!(after, all_are_right.used);
    });
}

/// A file.
struct InMemory(RefCell<Option<Vec<u8>>>);

impl Keep for InMemory {
    type Turn = ();

    async fn turn(&self, _path: &str) {}

    async fn get(&self, _path: &str) -> Option<Vec<u8>> {
        self.0.borrow().clone()
    }

    async fn put(&self, _path: &str, bytes: &[u8]) -> Result<(), String> {
        self.0.replace(Some(bytes.to_vec()));
        Ok(())
    }
}
