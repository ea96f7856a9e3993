//! Weights in eight bits: each kernel that reads them against its twin, which has them widened; and what a model makes of
//! its own weights in eight bits.

use burn::tensor::{Bytes, DType, Device, Int, Tensor, TensorData};
use half::f16;
use pseudoword::noise::{Noise, Stream};
use pseudoword::ops::{
    self, Conv2d, LaunchCounter, Linear, Linears, Mlp, MlpActivation, Norm, NormedLinears, Shift, Tiles, Var, Weight,
    backward, with_reference,
};
use pseudoword::parts::Part;
use pseudoword::source::Memory;
use pseudoword::unet::Conditions;
use pseudoword::weights::{Storage, Stored, Weights};

use crate::fixtures::{Place, assert_close, cosine, cpu, deviation, on_every_device, open, values};
use crate::halves::in_each_way;
use crate::kernels::{compare, filled, on_the_gpu, weight, with_tiles_and_blocks};

/// Numbers that share a scale.
const BLOCK: usize = 32;

/// Numbers in eight bits and their scales, by hand: products with about as many values come to about one.
fn parts([rows, width]: [usize; 2], seed: u64, device: &Device) -> (Tensor<2, Int>, Tensor<2>) {
    let normals = Noise::new(seed).draws(1, Stream::Init).normals(rows * width);
    let numbers = normals.iter().map(|normal| (42.0 * normal) as i8 as u8).collect();
    let scale = |block: &[f32]| f16::from_f32((0.5 + block[0].abs()) / 42.0 / (width as f32).sqrt());
    let scales = normals.chunks_exact(BLOCK).flat_map(|block| scale(block).to_le_bytes()).collect();
    let data = |bytes, shape, dtype| TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, dtype);
    let values = Tensor::from_data(data(numbers, [rows, width], DType::I8), (device, DType::I8));
    (values, Tensor::from_data(data(scales, [rows, width / BLOCK], DType::F16), (device, DType::F16)))
}

fn eight_bits(shape: [usize; 2], seed: u64, device: &Device) -> Weight<2> {
    let (values, scales) = parts(shape, seed, device);
    Weight::quantised(values, scales)
}

/// Layers of one input whose weights lie one after the other, as models load them.
fn layers(count: usize, [outputs, inputs]: [usize; 2], device: &Device) -> Vec<Linear> {
    let (values, scales) = parts([count * outputs, inputs], 3, device);
    let layer = |i: usize| Linear {
        weight: Weight::quantised(
            values.clone().narrow(0, i * outputs, outputs),
            scales.clone().narrow(0, i * outputs, outputs),
        ),
        bias: Some(weight([outputs], 10 + i as u64, true, device)),
    };
    (0..count).map(layer).collect()
}

/// On the processor, with tiles and with blocks.
fn with_every_kernel(test: impl Fn(&Place)) {
    test(&Place { tolerance: 2e-5, ..cpu() });
    with_tiles_and_blocks(test);
}

fn compare_linear_layers(place: &Place) {
    // Each tile, and rows and outputs that end anywhere in it.
    let sizes = [
        ([1, 1], 320, 1280),
        ([2, 77], 64, 36),
        ([1, 130], 32, 72),
        ([3, 5], 64, 9),
        ([1, 33], 96, 3),
        ([4, 16], 128, 1),
        ([1, 300], 160, 132),
        ([1, 512], 32, 520),
        ([1, 2048], 64, 1040),
    ];
    for (i, ([batch, rows], inputs, outputs)) in sizes.into_iter().enumerate() {
        let residual = i % 2 == 0;
        let what = format!("linear {batch} x {rows} x {inputs} to {outputs}, residual {residual}");
        let shapes = [[batch, rows, inputs], [batch, rows, outputs]];
        compare(place, &what, &shapes[..1 + usize::from(residual)], |x, device| {
            let bias = (i != 1).then(|| weight([outputs], 4, true, device));
            let layer = Linear { weight: eight_bits([outputs, inputs], 3, device), bias };
            match x {
                [x, residual] => ops::linear_add(x, &layer, residual),
                x => ops::linear(&x[0], &layer),
            }
        });
    }
}

fn compare_convolutions(place: &Place) {
    #[allow(clippy::type_complexity, reason = "a table: map, outputs, kernel, stride, padding")]
    let sizes: [([usize; 4], usize, usize, usize, [usize; 4]); 9] = [
        ([1, 8, 8, 32], 16, 3, 1, [1; 4]),
        ([2, 7, 5, 64], 36, 3, 1, [1; 4]),
        ([1, 9, 11, 32], 7, 3, 1, [1; 4]),
        ([1, 5, 6, 96], 68, 3, 1, [1; 4]),
        ([2, 8, 8, 32], 16, 3, 2, [1; 4]),
        ([1, 9, 7, 32], 20, 3, 2, [1; 4]),
        ([3, 7, 9, 32], 8, 3, 2, [0, 0, 1, 1]),
        ([1, 40, 40, 32], 260, 3, 1, [1; 4]),
        ([1, 9, 9, 32], 8, 1, 2, [0; 4]),
    ];
    for (i, (map, outputs, window, stride, padding)) in sizes.into_iter().enumerate() {
        let [top, left, bottom, right] = padding;
        let out = |size: usize, padding: usize| (size + padding - window) / stride + 1;
        let output = [map[0], out(map[1], top + bottom), out(map[2], left + right), outputs];
        let residual = i % 2 == 0;
        let what = format!("conv {map:?} to {outputs}, {window}/{stride} {padding:?}, residual {residual}");
        compare(place, &what, &[map, output][..1 + usize::from(residual)], |x, device| {
            let bias = (i != 1).then(|| weight([outputs], 4, true, device));
            let weight = eight_bits([outputs, window * window * map[3]], 3, device);
            let layer = Conv2d { weight, bias, kernel: [window; 2], stride, padding };
            match x {
                [x, residual] => ops::conv2d_add(x, &layer, residual),
                x => ops::conv2d(&x[0], &layer),
            }
        });
    }
    compare(place, "conv with a shift for each sample", &[[2, 7, 5, 64], [2, 1, 1, 64]], |x, device| {
        let weight = eight_bits([36, 9 * 64], 3, device);
        let layer = Conv2d { weight, bias: None, kernel: [3; 2], stride: 1, padding: [1; 4] };
        ops::conv2d_shifted(&x[0], &layer, &Shift { table: x[1].reshape([2, 64]), first: 8 })
    });
}

fn norm(width: usize, device: &Device) -> Norm {
    let (weight, bias) = (weight([width], 6, true, device), weight([width], 7, true, device));
    Norm { weight, bias, eps: 1e-5, groups: 1 }
}

fn an_mlp([width, inner]: [usize; 2], kind: MlpActivation, device: &Device) -> Mlp {
    let outputs = if kind == MlpActivation::Geglu { 2 * inner } else { inner };
    let layer = |seed: u64, shape: [usize; 2]| Linear {
        weight: eight_bits(shape, seed, device),
        bias: Some(weight([shape[0]], seed + 1, true, device)),
    };
    Mlp::new(norm(width, device), layer(20, [outputs, width]), kind, layer(30, [width, inner]))
}

fn compare_fused_products(place: &Place) {
    for ([batch, rows], inputs, outputs, count) in
        [([2, 77], 64, 32, 3), ([1, 130], 32, 132, 1), ([1, 5], 64, 64, 1), ([1, 300], 320, 640, 1)]
    {
        let what = format!("{count} behind a norm, {batch} x {rows} x {inputs} to {outputs}");
        compare(place, &what, &[[batch, rows, inputs]], |x, device| {
            let layers = NormedLinears::new(norm(inputs, device), layers(count, [outputs, inputs], device));
            ops::normed_linears(&x[0], &layers).into_iter().reduce(|a, b| a.add(&b).add(&b)).expect("at least one")
        });
    }
    for ([batch, rows], width, inner) in [([2, 77], 64, 96), ([1, 130], 32, 256), ([1, 1], 32, 64)] {
        for kind in [MlpActivation::Gelu, MlpActivation::QuickGelu, MlpActivation::Geglu] {
            let what = format!("{kind:?} {batch} x {rows} x {width} by {inner}");
            compare(place, &what, &[[batch, rows, width]], |x, device| {
                ops::mlp(&x[0], &an_mlp([width, inner], kind, device))
            });
        }
    }
}

#[test]
fn products_with_eight_bits_equal_their_twin() {
    with_every_kernel(|place| {
        compare_linear_layers(place);
        compare_convolutions(place);
        compare_fused_products(place);
    });
}

/// Which tile is taken is a matter of speed alone.
#[test]
fn products_with_eight_bits_are_right_in_every_tile() {
    on_the_gpu(|place| {
        for (name, tiles) in Tiles::each() {
            println!("tiles of {name}");
            ops::with_blocks(None, || {
                ops::with_tiles(tiles, || {
                    compare_linear_layers(place);
                    compare_convolutions(place);
                    compare_fused_products(place);
                });
            });
        }
    });
}

/// In each way to make products in f16, in each tile.
#[test]
fn products_in_f16_with_eight_bits_equal_their_twin() {
    in_each_way(|place, way| {
        for tile in [0, 1, 2] {
            println!("tile {tile}");
            ops::with_half_products(way, Some(tile), || {
                compare_linear_layers(place);
                compare_convolutions(place);
                compare_fused_products(place);
            });
        }
    });
}

/// Layers whose weights and scales lie one after the other are one launch going forward.
#[test]
fn layers_of_one_input_in_eight_bits_are_one_launch() {
    with_tiles_and_blocks(|place| {
        for (inputs, outputs) in [(64, 64), (320, 320)] {
            let what = format!("three layers of {inputs} to {outputs} in eight bits");
            compare(place, &what, &[[1, 70, inputs]], |x, device| {
                let layers = Linears::new(layers(3, [outputs, inputs], device));
                let launches = LaunchCounter::start();
                let results = ops::linears(&x[0], &layers);
                let launched = launches.take().total();
                if ops::uses_kernels(device) {
                    assert_eq!(launched, 1, "{what}");
                }
                results.into_iter().reduce(|a, b| a.add(&b).add(&b)).expect("three")
            });
        }
    });
}

#[test]
fn eight_bits_are_widened_wherever_they_are_read() {
    on_every_device(|place| {
        for [rows, width] in [[1, 32], [3, 64], [129, 320]] {
            let (numbers, scales) = parts([rows, width], 5, &place.device);
            let weight = Weight::quantised(numbers, scales);
            let by_hand = by_hand([rows, width], 5);
            assert_eq!(values(weight.f32()), by_hand);
            let count = rows * width;
            for range in [0..1, 5..count.min(40), count - 7..count, count / 2..count] {
                assert_eq!(values(weight.some(range.clone())), by_hand[range], "{rows} x {width}");
            }
        }
    });
}

/// What [`parts`] stand for.
fn by_hand([rows, width]: [usize; 2], seed: u64) -> Vec<f32> {
    let normals = Noise::new(seed).draws(1, Stream::Init).normals(rows * width);
    let scale = |block: &[f32]| f16::from_f32((0.5 + block[0].abs()) / 42.0 / (width as f32).sqrt()).to_f32();
    let wide = |block: &[f32]| {
        let scale = scale(block);
        block.iter().map(|normal| scale * f32::from((42.0 * normal) as i8)).collect::<Vec<f32>>()
    };
    normals.chunks_exact(BLOCK).flat_map(wide).collect()
}

/// A weight that is sent in pieces, and one beside others.
#[test]
fn weights_of_a_file_arrive_in_eight_bits() {
    let (shape, normals) = ([9_000, 320], Noise::new(1).draws(0, Stream::Init).normals(9_000 * 320));
    let halves: Vec<f16> = normals.iter().map(|value| f16::from_f32(*value)).collect();
    let header =
        format!(r#"{{"layer.weight":{{"dtype":"F16","shape":{shape:?},"data_offsets":[0,{}]}}}}"#, 2 * halves.len());
    let data = halves.iter().flat_map(|value| value.to_le_bytes()).collect();
    let file = [(header.len() as u64).to_le_bytes().to_vec(), header.into_bytes(), data].concat();
    let mut source = Memory::new("m");
    source.insert("unet/diffusion_pytorch_model.safetensors", file);
    let wide: Vec<f32> = halves.iter().map(|value| value.to_f32()).collect();
    let want = values(Weight::in_eight_bits(&wide, shape, &cpu().device).expect("whole blocks").f32());
    on_every_device(|place| {
        let mut quiet = |_| ();
        pollster::block_on(async {
            let weights = Weights::open(&source, Part::Unet, &place.device, Storage::Q8, &mut quiet).await.unwrap();
            let weight = weights.linear("layer", 320, 9_000, false).await.unwrap().weight;
            weights.finish().await.unwrap();
            assert_eq!(weight.dtype(), DType::I8);
            assert!(values(weight.f32()) == want, "not the same numbers on {}", place.name);
        });
    });
}

/// The whole U-Net and its gradient: in eight bits, what the device makes of them is what the processor does, and it is near
/// what the weights in f16 come to.
#[test]
fn a_model_in_eight_bits_is_nearly_the_model() {
    let run = |place: &Place, storage| {
        let session = open("mini", place, Some(storage));
        let model = session.model();
        let sample = filled([2, 16, 16, 4], 1, &place.device);
        let context = Var::leaf(filled([2, 77, model.config.word_width()], 2, &place.device));
        let conditions = Conditions::of_states(context.clone());
        let y = model.unet.forward(&sample, &[321.0, 5.0], &conditions, false);
        let dy = filled(y.dims(), 3, &place.device);
        let stored = model.unet.stored();
        [values(y.value().clone()), values(backward(&y, dy).take(&context).expect("a gradient"))].map(|v| (v, stored))
    };
    let [half, quantised] = [Storage::F16, Storage::Q8].map(|storage| run(&cpu(), storage));
    let twin = with_reference(|| run(&cpu(), Storage::Q8));
    assert_eq!((half[0].1, quantised[0].1), (Stored::F16, Stored::Q8));
    for (i, what) in ["noise", "gradient"].into_iter().enumerate() {
        assert_close(&quantised[i].0, &twin[i].0, &cpu(), &format!("mini in eight bits, {what}"));
        let (off, alike) = (deviation(&quantised[i].0, &half[i].0), cosine(&quantised[i].0, &half[i].0));
        println!("{what}: eight bits are off by {off:.1e} of the largest, cosine {alike:.6}");
        assert!(off < 0.05 && alike > 0.999, "{what}: {off} {alike}");
    }
    on_the_gpu(|place| {
        let got = run(&Place { tolerance: 1e-3, ..place.clone() }, Storage::Q8);
        for (i, what) in ["noise", "gradient"].into_iter().enumerate() {
            let place = Place { tolerance: 1e-3, ..place.clone() };
            assert_close(&got[i].0, &quantised[i].0, &place, &format!("mini in eight bits, {what}"));
        }
    });
}
