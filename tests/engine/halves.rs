//! Products in f16 against their twin in f32.

use burn::tensor::Tensor;
use pseudoword::gpu as gpu_of;
use pseudoword::ops::{self, Conv2d, HalfProducts, Linear, Var};

use crate::fixtures::Place;
use crate::kernels::{compare, compare_attentions, on_the_gpu, weight};

/// Each way to make products in f16 that the device offers. Mesa's lavapipe has matrices since version 26
/// (`tools/gpu/mesa26-tests` runs this there); older ones have f16 without matrices.
fn in_each_way(test: impl Fn(&Place, HalfProducts)) {
    on_the_gpu(|place| {
        let chosen = gpu_of::choose(gpu_of::DeviceChoice::Gpu).unwrap();
        let ways = gpu_of::started(&chosen).unwrap().half_products();
        if ways.is_empty() {
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

/// With matrices alone: without them attention stays in f32.
#[test]
fn attentions_in_f16_equal_their_twin() {
    in_each_way(|place, way| {
        if matches!(way, HalfProducts::Strips) {
            return;
        }
        ops::with_half_products(way, None, || {
            compare_attentions(place);
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

/// A tensor with its first position multiplied by one number, its last by another, and those between by numbers between.
fn times(x: &Var<3>, [first, last]: [f32; 2]) -> Var<3> {
    let [_, length, _] = x.dims();
    let factors: Vec<f32> = (0..length).map(|i| first + (last - first) * i as f32 / length as f32).collect();
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
            });
        }
    });
}
