//! Work that is too much for one submission to a GPU is cut, and computes the same.

use burn::tensor::{Device, Tensor};
use pseudoword::noise::{Noise, Stream};
use pseudoword::ops::submission::{Dispatch, with_budget};
use pseudoword::ops::{self, Conv2d, Linear, SoftwareGpu, Var, Weight, backward};

use crate::fixtures::{Place, assert_close, gpu, values};

fn filled<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let numbers = Noise::new(seed).draws(0, Stream::Init).normals(shape.iter().product());
    Tensor::<1>::from_floats(numbers.as_slice(), device).reshape(shape)
}

/// What an op gives, and the gradients to its inputs.
fn results<const D: usize>(shapes: &[[usize; D]], device: &Device, op: &dyn Fn(&[Var<D>]) -> Var<D>) -> Vec<Vec<f32>> {
    let inputs: Vec<Var<D>> =
        shapes.iter().enumerate().map(|(i, shape)| Var::leaf(filled(*shape, i as u64 + 1, device))).collect();
    let y = op(&inputs);
    let mut results = vec![values(y.value().clone())];
    let mut gradients = backward(&y, filled(y.dims(), 9, device));
    results.extend(inputs.iter().map(|input| values(gradients.take(input).expect("a gradient"))));
    results
}

/// Runs an op as it is and with submissions of at most `budget`; gives both results and what was dispatched the second
/// time.
fn both<const D: usize>(
    place: &Place,
    budget: u64,
    shapes: &[[usize; D]],
    op: impl Fn(&[Var<D>]) -> Var<D>,
) -> ([Vec<Vec<f32>>; 2], Vec<Dispatch>) {
    let whole = results(shapes, &place.device, &op);
    let (cut, dispatches) = with_budget(budget, || results(shapes, &place.device, &op));
    ([whole, cut], dispatches)
}

fn bits(results: &[Vec<f32>]) -> Vec<Vec<u32>> {
    results.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

/// No submission holds more than the budget.
fn assert_bounded(dispatches: &[Dispatch], budget: u64, what: &str) {
    let mut held = 0;
    for dispatch in dispatches {
        held = if dispatch.begins { dispatch.work } else { held + dispatch.work };
        assert!(held <= budget, "{what}: {held} in one submission, with {dispatch:?}");
    }
}

/// With products and attention made in tiles, and in blocks; the kernels' names end differently.
fn with_tiles_and_blocks(test: impl Fn(&Place, &str)) {
    let (place, _turn) = gpu();
    for (software, ending) in
        [(None, ""), (Some(SoftwareGpu::Lavapipe), "_blocks"), (Some(SoftwareGpu::Other), "_blocks")]
    {
        ops::with_blocks(software, || test(&place, ending));
    }
}

#[test]
fn a_product_that_is_too_much_becomes_four_launches_and_three_submissions_more() {
    with_tiles_and_blocks(a_product_becomes_four_launches);
}

fn a_product_becomes_four_launches(place: &Place, ending: &str) {
    let device = place.device.clone();
    let weight = Weight::new(filled([64, 64], 3, &device));
    let layer = Linear { weight, bias: None };
    // 2048 rows of 64 values to 64.
    let work = 2 * 2048 * 64 * 64;
    let ([whole, cut], dispatches) = both(place, work / 4, &[[1, 2048, 64]], |x| ops::linear(&x[0], &layer));
    assert_eq!(bits(&whole), bits(&cut));
    // Forward; a reading; and the gradient.
    assert_eq!(dispatches.len(), 8, "{dispatches:?}");
    for pieces in dispatches.chunks(4) {
        let kernel = format!("linear{ending}");
        assert!(pieces.iter().all(|piece| piece.kernel == kernel && piece.work == work / 4), "{pieces:?}");
        assert_eq!(pieces.iter().map(|piece| piece.begins).collect::<Vec<_>>(), [true; 4]);
        assert!(pieces.iter().all(|piece| piece.groups == pieces[0].groups), "{pieces:?}");
    }
    // With room for all of it, it is one launch.
    let ((), dispatches) = with_budget(work, || {
        ops::linear(&Var::constant(filled([1, 2048, 64], 1, &device)), &layer);
    });
    assert_eq!(dispatches.len(), 1, "{dispatches:?}");
}

#[test]
fn convolutions_that_are_cut_give_the_same_bits() {
    with_tiles_and_blocks(convolutions_give_the_same_bits);
}

fn convolutions_give_the_same_bits(place: &Place, ending: &str) {
    let device = &place.device;
    for (input, outputs, stride, padding) in [
        ([1, 40, 24, 16], 20, 1, [1; 4]),
        ([3, 17, 11, 12], 36, 1, [1; 4]),
        ([2, 33, 40, 8], 40, 2, [1; 4]),
        ([1, 65, 34, 8], 12, 2, [0, 0, 1, 1]),
    ] {
        let what = format!("a convolution of {input:?} to {outputs} channels, stride {stride}");
        let weight = Weight::new(filled([outputs, 9 * input[3]], 3, device));
        let bias = Some(Weight::new(filled([outputs], 4, device)));
        let layer = Conv2d { weight, bias, kernel: [3; 2], stride, padding };
        let out = |size: usize, padding: usize| (size + padding - 3) / stride + 1;
        let (height, width) = (out(input[1], padding[0] + padding[2]), out(input[2], padding[1] + padding[3]));
        let output = [input[0], height, width, outputs];
        let budget = (2 * output.iter().product::<usize>() * 9 * input[3]) as u64 / 3;
        let add = |x: &[Var<4>]| ops::conv2d_add(&x[0], &layer, &x[1]);
        let ([whole, cut], dispatches) = both(place, budget, &[input, output], add);
        assert_eq!(bits(&whole), bits(&cut), "{what}");
        assert_bounded(&dispatches, budget, &what);
        for kernel in ["conv2d", "conv2d_backward"].map(|kernel| format!("{kernel}{ending}")) {
            assert!(
                dispatches.iter().filter(|dispatch| dispatch.kernel == kernel).count() > 1,
                "{what}: {dispatches:?}"
            );
        }
    }
}

#[test]
fn attentions_that_are_cut_give_the_same_bits() {
    with_tiles_and_blocks(attentions_give_the_same_bits);
}

fn attentions_give_the_same_bits(place: &Place, ending: &str) {
    for (batch, queries, keys, heads, width, causal) in
        [(2, 200, 333, 2, 16, false), (1, 300, 300, 3, 8, true), (1, 513, 257, 2, 40, false)]
    {
        let what = format!("attention of {queries} to {keys}, causal {causal}");
        let shapes = [queries, keys, keys].map(|length| [batch, length, heads * width]);
        let budget = (2 * batch * heads * queries * keys * width) as u64;
        let op = |x: &[Var<3>]| ops::attention(&x[0], &x[1], &x[2], heads, causal);
        let ([whole, cut], dispatches) = both(place, budget, &shapes, op);
        assert_eq!(bits(&whole), bits(&cut), "{what}");
        assert_bounded(&dispatches, budget, &what);
        for kernel in ["attention", "attention_backward_queries", "attention_backward_keys"] {
            let kernel = format!("{kernel}{ending}");
            let pieces = dispatches.iter().filter(|dispatch| dispatch.kernel == kernel).count();
            assert!(pieces > 1, "{what}: {dispatches:?}");
        }
    }
}

/// What is left to Burn is cut where that can be done: one head as wide as the autoencoder's.
#[test]
fn attention_without_a_kernel_is_cut_along_its_queries() {
    let (place, _turn) = gpu();
    let shapes = [[1, 100, 512]; 3];
    let work = 2 * 2 * 100 * 100 * 512;
    let op = |x: &[Var<3>]| ops::attention(&x[0], &x[1], &x[2], 1, false);
    let ([whole, cut], dispatches) = both(&place, work / 5, &shapes, op);
    let pieces: Vec<&Dispatch> =
        dispatches.iter().filter(|dispatch| dispatch.kernel == "attention, composed").collect();
    assert_eq!(pieces.iter().map(|piece| piece.work).collect::<Vec<_>>(), [work / 5; 5]);
    for (whole, cut) in whole.iter().zip(&cut) {
        assert_close(cut, whole, &Place { tolerance: 1e-6, ..place.clone() }, "attention, cut");
    }
}

#[test]
fn the_self_test_passes_with_submissions_of_next_to_nothing() {
    let (place, _turn) = gpu();
    let test = || pollster::block_on(ops::self_test(&place.device));
    let (tested, dispatches) = ops::with_blocks(None, || with_budget(1, test));
    tested.expect("right values");
    // Every dispatch is a submission of its own, and those that can be cut are: linear layers make two tiles of rows.
    assert!(dispatches.iter().all(|dispatch| dispatch.begins), "{dispatches:?}");
    let linear = dispatches.iter().filter(|dispatch| dispatch.kernel == "linear").count();
    assert!(dispatches.len() > 10 && linear > 2, "{dispatches:?}");
}
