//! Each op and its gradient against PyTorch, and against finite differences.

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use pseudoword::ops::{self, Conv2d, Linear, Norm, Var, Weight, backward};
use serde::Deserialize;

use crate::fixtures::{Fixture, Place, assert_close, gpu, map_values, on_every_device, path, values};

#[derive(Deserialize)]
struct Case {
    case: String,
    op: String,
    parameters: serde_json::Value,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

struct Run<'a> {
    fixture: &'a Fixture,
    case: &'a Case,
    place: &'a Place,
}

impl Run<'_> {
    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.case.case)
    }

    fn vector(&self, part: &str) -> Weight<1> {
        Weight::new(self.fixture.tensor(&self.name(part), &self.place.device))
    }

    fn bias(&self) -> Option<Weight<1>> {
        self.fixture.has(&self.name("b")).then(|| self.vector("b"))
    }

    fn number(&self, key: &str) -> f64 {
        self.case.parameters[key].as_f64().expect("a number")
    }

    fn flag(&self, key: &str) -> bool {
        self.case.parameters[key].as_bool().expect("a flag")
    }

    fn check(&self, part: &str, got: &[f32]) {
        assert_close(got, &self.fixture.floats(&self.name(part)), self.place, &self.name(part));
    }

    /// An op on a feature map.
    fn map(&self, op: impl Fn(&Var<4>) -> Var<4>) {
        let device = &self.place.device;
        let x = Var::leaf(self.fixture.map(&self.name("x"), device));
        let y = op(&x);
        self.check("y", &map_values(y.value().clone()));
        let mut gradients = backward(&y, self.fixture.map(&self.name("dy"), device));
        self.check("dx", &map_values(gradients.take(&x).expect("a gradient")));
    }

    /// An op over the last axis.
    fn rows<const D: usize>(&self, op: impl Fn(&Var<D>) -> Var<D>) {
        let device = &self.place.device;
        let x = Var::leaf(self.fixture.tensor::<D>(&self.name("x"), device));
        let y = op(&x);
        self.check("y", &values(y.value().clone()));
        let mut gradients = backward(&y, self.fixture.tensor::<D>(&self.name("dy"), device));
        self.check("dx", &values(gradients.take(&x).expect("a gradient")));
    }

    fn any_rank(
        &self,
        op2: impl Fn(&Var<2>) -> Var<2>,
        op3: impl Fn(&Var<3>) -> Var<3>,
        op4: impl Fn(&Var<4>) -> Var<4>,
    ) {
        match self.fixture.shape(&self.name("x")).len() {
            2 => self.rows(op2),
            3 => self.rows(op3),
            _ => self.map(op4),
        }
    }

    fn conv2d(&self) -> Conv2d {
        let shape = self.fixture.shape(&self.name("w"));
        let [outputs, inputs, kh, kw] = shape[..] else { panic!("a convolution's weight has rank four") };
        // PyTorch's padding is left, right, top, bottom.
        let padding: Vec<usize> =
            serde_json::from_value(self.case.parameters["padding"].clone()).expect("four numbers");
        let weight = self.fixture.map(&self.name("w"), &self.place.device).reshape([outputs, kh * kw * inputs]);
        Conv2d {
            weight: Weight::new(weight),
            bias: self.bias(),
            kernel: [kh, kw],
            stride: self.number("stride") as usize,
            padding: [padding[2], padding[0], padding[3], padding[1]],
        }
    }

    fn linear(&self) -> Linear {
        let weight = self.fixture.tensor(&self.name("w"), &self.place.device);
        Linear { weight: Weight::new(weight), bias: self.bias() }
    }

    fn norm(&self, groups: usize) -> Norm {
        Norm { weight: self.vector("w"), bias: self.vector("b"), eps: self.number("eps"), groups }
    }

    fn attention(&self) {
        let device = &self.place.device;
        let leaf = |part: &str| Var::leaf(self.fixture.tensor::<3>(&self.name(part), device));
        let (q, k, v) = (leaf("q"), leaf("k"), leaf("v"));
        let y = ops::attention(&q, &k, &v, self.number("heads") as usize, self.flag("causal"));
        self.check("y", &values(y.value().clone()));
        let mut gradients = backward(&y, self.fixture.tensor(&self.name("dy"), device));
        for (part, leaf) in [("dq", &q), ("dk", &k), ("dv", &v)] {
            self.check(part, &values(gradients.take(leaf).expect("a gradient")));
        }
    }

    fn run(&self) {
        match self.case.op.as_str() {
            "group_norm" => {
                let norm = self.norm(self.number("groups") as usize);
                if self.flag("silu") {
                    self.map(|x| ops::group_norm_silu(x, &norm))
                } else {
                    self.map(|x| ops::group_norm(x, &norm))
                }
            }
            "layer_norm" => self.rows::<3>(|x| ops::layer_norm(x, &self.norm(1))),
            "conv2d" => self.map(|x| ops::conv2d(x, &self.conv2d())),
            "linear" => {
                let layer = self.linear();
                self.any_rank(|x| ops::linear(x, &layer), |x| ops::linear(x, &layer), |x| ops::linear(x, &layer));
            }
            "attention" => self.attention(),
            "geglu" => self.any_rank(ops::geglu, ops::geglu, ops::geglu),
            "geglu_linear" => {
                let layer = self.linear();
                self.any_rank(
                    |x| ops::geglu(&ops::linear(x, &layer)),
                    |x| ops::geglu(&ops::linear(x, &layer)),
                    |x| ops::geglu(&ops::linear(x, &layer)),
                );
            }
            "gelu" => self.any_rank(ops::gelu, ops::gelu, ops::gelu),
            "quick_gelu" => self.any_rank(ops::quick_gelu, ops::quick_gelu, ops::quick_gelu),
            "silu" => self.any_rank(ops::silu, ops::silu, ops::silu),
            "upsample_nearest2x" => self.map(|x| ops::upsample_nearest_2x(x, [2 * x.dims()[1], 2 * x.dims()[2]])),
            other => panic!("no test for the op {other}"),
        }
    }
}

#[test]
fn every_op_and_its_gradient_equal_pytorch() {
    let text = std::fs::read_to_string(path("ops.json")).expect("the list of cases");
    let Cases { cases } = serde_json::from_str(&text).expect("the list of cases");
    assert!(cases.len() > 25, "only {} cases", cases.len());
    let fixture = Fixture::read("ops.safetensors");
    on_every_device(|place| {
        for case in &cases {
            Run { fixture: &fixture, case, place }.run();
        }
    });
    // A software GPU computes in blocks, others in tiles.
    let (place, _turn) = gpu();
    ops::with_blocks(None, || {
        for case in &cases {
            Run { fixture: &fixture, case, place: &Place { name: "gpu, tiles", ..place.clone() } }.run();
        }
    });
}

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    pseudoword::noise::Noise::new(seed).draws(0, pseudoword::noise::Stream::Init).normals(count)
}

fn filled<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::<1>::from_floats(numbers(shape.iter().product(), seed).as_slice(), device).reshape(shape)
}

/// Compares a gradient with central differences along a few directions.
fn assert_gradient<const D: usize>(place: &Place, what: &str, shape: [usize; D], f: impl Fn(&Var<D>) -> Var<1>) {
    let x = filled(shape, 1, &place.device);
    let leaf = Var::leaf(x.clone());
    let mut gradients = backward(&f(&leaf), Tensor::ones([1], &place.device));
    let gradient = values(gradients.take(&leaf).expect("a gradient"));
    for seed in 2..5 {
        let direction = filled(shape, seed, &place.device);
        let along: f64 = gradient.iter().zip(numbers(gradient.len(), seed)).map(|(g, d)| f64::from(g * d)).sum();
        let step = 2e-3;
        let at = |sign: f64| {
            let moved = x.clone() + direction.clone() * (sign * step);
            f64::from(values(f(&Var::constant(moved)).into_value())[0])
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        let scale = along.abs().max(slope.abs()).max(1e-2);
        assert!((along - slope).abs() <= 0.01 * scale, "{what} on {}: {along} against {slope}", place.name);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    on_every_device(|place| {
        let device = &place.device;
        let loss3 = |y: &Var<3>, seed: u64| {
            let [a, b, c] = y.dims();
            ops::mse(&y.reshape([a, b, c, 1]), filled([a, b, c, 1], seed, device), None)
        };
        assert_gradient(place, "mse with weights", [3, 2, 2, 2], |x| {
            let weights = Tensor::<1>::from_floats([0.5, 2.0, 1.0], device).reshape([3, 1, 1, 1]);
            ops::mse(x, filled([3, 2, 2, 2], 9, device), Some(weights))
        });
        assert_gradient(place, "splice", [2, 6], |rows| {
            let places = [(1, 0), (2, 1), (7, 1), (9, 0)];
            loss3(&ops::splice(filled([2, 5, 6], 8, device), rows, &places), 7)
        });
        assert_gradient(place, "concat, shift and sum of two uses", [2, 3, 4, 4], |x| {
            let other = x.shift_channels(filled([2, 4], 6, device));
            let both = ops::side_by_side(&[x.clone(), other.clone()]).add(&ops::side_by_side(&[other, x.clone()]));
            ops::mse(&both, filled([2, 3, 4, 8], 5, device), None)
        });
        assert_gradient(place, "layers on top of what went into them", [2, 4, 4, 3], |x| {
            let weight = |seed: u64, shape: [usize; 2]| Weight::new(filled(shape, seed, device));
            let square = Linear { weight: weight(6, [3, 3]), bias: None };
            let bias = Some(Weight::new(filled([3], 7, device)));
            let conv = Conv2d { weight: weight(8, [3, 27]), bias, kernel: [3; 2], stride: 1, padding: [1; 4] };
            let point = Conv2d { weight: weight(5, [3, 3]), kernel: [1; 2], padding: [0; 4], ..conv.clone() };
            let y = ops::conv2d_add(x, &conv, &ops::conv2d_add(x, &point, &ops::linear_add(x, &square, x)));
            ops::mse(&y, filled([2, 4, 4, 3], 9, device), None)
        });
        assert_gradient(place, "reshape and attention with itself", [2, 6, 8], |x| {
            let x = x.reshape([2, 2, 24]).reshape([2, 6, 8]);
            loss3(&ops::attention(&x, &x, &x, 2, true), 4)
        });
        assert_gradient(place, "a recomputed block", [2, 5, 8], |x| {
            let y = ops::recompute((x, x, x), |a: &Var<3>, b: &Var<3>, c: &Var<3>| {
                ops::attention(a, b, a, 4, false).add(&ops::silu(c))
            });
            loss3(&y, 3)
        });
    });
}

#[test]
fn nothing_is_recorded_for_constants() {
    let device = pseudoword::gpu::cpu();
    let x = Var::constant(filled([1, 4, 4, 8], 1, &device));
    let twice = ops::upsample_nearest_2x(&x, [8, 8]);
    let y = ops::silu(&twice).add(&ops::silu(&twice));
    assert!(!y.is_tracked());
}

/// Either of the two that are added may be a constant.
#[test]
fn a_layer_and_its_residual_are_recorded_one_without_the_other() {
    let device = pseudoword::gpu::cpu();
    let layer = Linear { weight: Weight::new(filled([8, 8], 1, &device)), bias: None };
    let values = filled([2, 8], 2, &device);
    let (leaf, constant) = (Var::leaf(values.clone()), Var::constant(values));
    let gradient = |y: Var<2>| {
        let dy = filled(y.dims(), 3, &device);
        crate::fixtures::values(backward(&y, dy).take(&leaf).expect("a gradient"))
    };
    let through = gradient(ops::linear(&leaf, &layer));
    assert_eq!(gradient(ops::linear_add(&leaf, &layer, &constant)), through);
    assert_eq!(gradient(ops::linear_add(&constant, &layer, &leaf)), numbers(16, 3));
    assert!(!ops::linear_add(&constant, &layer, &constant).is_tracked());
}

#[test]
fn some_values_of_a_weight_are_those_of_all() {
    on_every_device(|place| {
        for count in [1, 7, 300, 1001] {
            let halves: Vec<half::f16> = (0..count).map(|i| half::f16::from_f32(i as f32 / 8.0 - 9.0)).collect();
            let bytes = halves.iter().flat_map(|value| value.to_le_bytes()).collect();
            let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), [count], DType::F16);
            let weight = Weight::<1>::new(Tensor::from_data(data, (&place.device, DType::F16)));
            let all = values(weight.f32());
            for range in [0..1, 0..count.min(33), count / 2..count, count - 1..count] {
                assert_eq!(
                    values(weight.some(range.clone())),
                    all[range.clone()],
                    "{}: {range:?} of {count}",
                    place.name
                );
            }
        }
    });
}
