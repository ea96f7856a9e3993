//! Which tiles are fastest on a device, measured.
//!
//! For each class of products one of its kind is made with each tile, in turns, and the least time of each counts:
//! other programs make times longer, nothing makes them shorter. Kernels are those of linear layers with weights in
//! halves and a bias; convolutions have the same loop around other readers.

use std::time::Duration;

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use half::f16;
use sha2::{Digest, Sha256};
use web_time::Instant;

use super::tile::{ProductClass, ProductMethod, Tile};
use super::{HalfMethod, HalfProducts, Tiles, linear as kernels, with_half_products, with_tiles};
use crate::base::bytes::hex;
use crate::ops::{Linear, Mlp, MlpActivation, Norm, Var, Weight, attention, linear, mlp, read, settle};
use crate::{Error, Result};

/// How long the launches that are timed together should take: much longer than the round trip to the device.
const MIN_TIMED: Duration = Duration::from_millis(4);
/// Most launches that are timed together.
const MOST_LAUNCHES: usize = 256;
/// Most times that a tile is timed.
const ROUNDS: usize = 5;
/// When this much time went into a class, no further round begins; where one product takes longer, none at all.
const LONGEST: Duration = Duration::from_millis(150);
/// Another tile than the usual is taken where it needs at most this share of its time: less is chance.
const CLEARLY: f64 = 0.95;
/// How far values may lie apart, relative to the largest: rounding, in sums of a different order.
const TOLERANCE: f32 = 1e-3;
/// Rows of each product that are compared.
const FEW: usize = 40;

/// The tiles that measuring found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredTiles {
    /// The fastest tiles.
    pub tiles: Tiles,
    /// How long it took to find out, in seconds.
    pub seconds: f64,
}

/// The version of the kernels that are measured, from their whole texts: what was measured with other texts says
/// nothing.
pub fn products_version() -> String {
    let mut hash = Sha256::new();
    // As they are launched for [`Example`]: in fours, with halves for weight and bias, without a residual.
    let storages = [Some(DType::F32), Some(DType::F16), Some(DType::F16), None];
    for tile in Tile::ALL {
        hash.update(kernels::FORWARD.form_of(ProductMethod::Tile(tile), &[4, 4], storages.into_iter()).hash());
    }
    hash.update(format!("{:?}", ProductClass::ALL.map(ProductClass::example)));
    hex(&hash.finalize())
}

/// The same of what products in f16 are judged by: every form that computes in f16, because each of them was tested; what they
/// were timed against, and with; and the program, whose compiler of kernels and whose tests they went through.
pub fn half_products_version() -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {ATTENDING:?} {GATED:?} {TIMED:?}", env!("CARGO_PKG_VERSION"), products_version()));
    for form in super::forms().iter().filter(|form| form.computes_in_f16()) {
        hash.update(form.hash());
    }
    hex(&hash.finalize())
}

/// The classes that products in f16 have tiles for, in the order of the tiles.
const HALF_CLASSES: [ProductClass; HalfProducts::TILES] =
    [ProductClass::Large, ProductClass::Medium, ProductClass::Small];

/// Those of them that are compared with products in f32: those in which most work is done.
const TIMED: [ProductClass; 2] = [ProductClass::Medium, ProductClass::Large];

/// Positions, heads and width of a head of the attention that is timed beside them: enough workgroups for a large GPU.
const ATTENDING: [usize; 3] = [2048, 8, 40];

/// Rows and width of the gated MLP that is timed, too: in f32 its products do what is around them.
const GATED: [usize; 2] = [1024, 320];

/// Seconds that a product of each of some classes, an MLP and an attention take on a device as they are made in f32.
///
/// # Errors
/// Those of [`read`], where the device fails during it.
pub async fn time_products(device: &Device) -> Result<f64> {
    let mut seconds = 0.0;
    for class in TIMED {
        let example = Example::new(class, device);
        seconds += least_time(None, || linear(&example.x, &example.layer).into_value()).await?;
    }
    Ok(seconds + time_mlp(None, device).await? + time_attention(None, device).await?)
}

/// What is fastest of a way to make products in f16 on a device, and the seconds that the products of [`time_products`] take so.
///
/// # Errors
/// Those of [`read`], where the device fails during it.
pub async fn measure_half_products(device: &Device, way: HalfProducts) -> Result<(HalfMethod, f64)> {
    let (mut method, mut seconds) = (HalfMethod::from(way), 0.0);
    for (usual, class) in HALF_CLASSES.into_iter().enumerate() {
        let example = Example::new(class, device);
        let mut times = [f64::INFINITY; HalfProducts::TILES];
        for (tile, time) in times.iter_mut().enumerate() {
            let product = || linear(&example.x, &example.layer).into_value();
            *time = least_time(Some((way.into(), Some(tile))), product).await?;
        }
        method.tiles[usual] = fastest(&times, usual);
        if TIMED.contains(&class) {
            seconds += times[method.tiles[usual]];
        }
    }
    seconds += time_mlp(Some((method, None)), device).await?;
    let attending = [time_attention(Some((method, None)), device).await?, time_attention(None, device).await?];
    method.attends = fastest(&attending, 0) == 0;
    seconds += attending[usize::from(!method.attends)];
    Ok((method, seconds))
}

/// How products are made that are timed: in f16, and perhaps all of them in one tile, or in f32.
type Timed = Option<(HalfMethod, Option<usize>)>;

async fn time_mlp(half: Timed, device: &Device) -> Result<f64> {
    let [rows, width] = GATED;
    let block = gated(width, device);
    let x = Var::constant(full([rows, width], device));
    least_time(half, || mlp(&x, &block).into_value()).await
}

async fn time_attention(half: Timed, device: &Device) -> Result<f64> {
    let [positions, heads, width] = ATTENDING;
    let shape = [1, positions, heads * width];
    let [q, k, v] = [(); 3].map(|()| Var::constant(full(shape, device)));
    least_time(half, || attention(&q, &k, &v, heads, false).into_value()).await
}

/// The least time that an op was seen to take.
async fn least_time<const D: usize>(half: Timed, op: impl Fn() -> Tensor<D>) -> Result<f64> {
    let run = || match half {
        Some((method, tile)) => with_half_products(method, tile, &op),
        None => op(),
    };
    let time = async |launches: usize| {
        let begun = Instant::now();
        for _ in 1..launches {
            run();
        }
        settle(&run()).await?;
        Ok::<_, Error>(begun.elapsed())
    };
    // The first has the kernel compiled.
    time(1).await?;
    let one = time(1).await?;
    let launches = if one > MIN_TIMED { 1 } else { launches_for(one, time(9).await?) };
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        least = least.min(time(launches).await?.as_secs_f64() / launches as f64);
    }
    Ok(least)
}

/// Numbers from -0.5 to 0.5.
fn numbers(count: usize, period: usize) -> impl Iterator<Item = f32> {
    (0..count).map(move |i| (i % period) as f32 / period as f32 - 0.5)
}

/// Numbers in f32.
fn full<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = numbers(shape.iter().product(), 1021).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

/// Numbers in f16.
fn halves<const D: usize>(shape: [usize; D], period: usize, device: &Device) -> Tensor<D> {
    let bytes = numbers(shape.iter().product(), period).flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
    Tensor::from_data(TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, DType::F16), (device, DType::F16))
}

/// An MLP as a transformer of the U-Net has it.
fn gated(width: usize, device: &Device) -> Mlp {
    let [weight, bias] = [(); 2].map(|()| Weight::new(full([width], device)));
    let layer = |outputs: usize, inputs: usize| Linear {
        weight: Weight::new(halves([outputs, inputs], 509, device)),
        bias: Some(Weight::new(halves([outputs], 61, device))),
    };
    let norm = Norm { weight, bias, eps: 1e-5, groups: 1 };
    Mlp::new(norm, layer(8 * width, width), MlpActivation::Geglu, layer(width, 4 * width))
}

/// A product that represents its class.
struct Example {
    x: Var<2>,
    /// Its first rows: enough to have a kernel compiled, and to see whether it is right.
    few: Var<2>,
    layer: Linear,
}

impl Example {
    fn new(class: ProductClass, device: &Device) -> Self {
        let [rows, columns, inner] = class.example();
        let x = |rows: usize| Var::constant(full([rows, inner], device));
        let weight = Weight::new(halves([columns, inner], 509, device));
        let layer = Linear { weight, bias: Some(Weight::new(halves([columns], 61, device))) };
        Self { x: x(rows), few: x(rows.min(FEW)), layer }
    }

    fn product(&self, x: &Var<2>, tile: Tile) -> Tensor<2> {
        let tiles = Tiles::new([tile; ProductClass::ALL.len()]);
        with_tiles(tiles, || linear(x, &self.layer).into_value())
    }

    /// Some values that a tile computes.
    async fn values(&self, tile: Tile) -> Result<Vec<f32>> {
        read(self.product(&self.few, tile)).await
    }

    /// How long a number of products with one tile take, including the round trip to the device.
    async fn time(&self, tile: Tile, launches: usize) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 1..launches {
            self.product(&self.x, tile);
        }
        settle(&self.product(&self.x, tile)).await?;
        Ok(begun.elapsed())
    }
}

/// Measures each tile on a device: a second or so on a GPU. Nothing is chosen by that.
///
/// # Errors
/// Those of [`read`], where the device fails during it; and [`Error::Gpu`] if it computes NaN or infinity.
pub async fn measure_tiles(device: &Device) -> Result<MeasuredTiles> {
    let begun = Instant::now();
    let mut tiles = ProductClass::ALL.map(ProductClass::usual);
    for (tile, class) in tiles.iter_mut().zip(ProductClass::ALL) {
        *tile = best(&Example::new(class, device), class.usual()).await?;
    }
    Ok(MeasuredTiles { tiles: Tiles::new(tiles), seconds: begun.elapsed().as_secs_f64() })
}

/// The best tile for a product.
async fn best(example: &Example, usual: Tile) -> Result<Tile> {
    let expected = example.values(usual).await?;
    if expected.iter().any(|value| !value.is_finite()) {
        let reason = "it computes NaN or infinity".to_owned();
        return Err(Error::Gpu { during: "measuring tiles".to_owned(), reason });
    }
    let mut right = [false; Tile::ALL.len()];
    for (right, tile) in right.iter_mut().zip(Tile::ALL) {
        *right = is_close(&example.values(tile).await?, &expected);
    }
    let begun = Instant::now();
    let Some(launches) = launches(example, usual).await? else { return Ok(usual) };
    let mut times = [f64::INFINITY; Tile::ALL.len()];
    for round in 0..ROUNDS {
        if round > 0 && begun.elapsed() > LONGEST {
            break;
        }
        for ((time, right), tile) in times.iter_mut().zip(right).zip(Tile::ALL) {
            if right {
                *time = time.min(example.time(tile, launches).await?.as_secs_f64());
            }
        }
    }
    let place = Tile::ALL.iter().position(|tile| *tile == usual).unwrap_or_default();
    Ok(Tile::ALL[fastest(&times, place)])
}

/// How many launches are timed together, so that the round trip hardly counts. None where a single one takes so
/// long that the others are not worth waiting for.
async fn launches(example: &Example, usual: Tile) -> Result<Option<usize>> {
    let one = example.time(usual, 1).await?;
    if one > MIN_TIMED {
        return Ok((one < LONGEST).then_some(1));
    }
    Ok(Some(launches_for(one, example.time(usual, 9).await?)))
}

/// The same from the times of one and of nine.
fn launches_for(one: Duration, nine: Duration) -> usize {
    let each = nine.saturating_sub(one).as_secs_f64() / 8.0;
    ((MIN_TIMED.as_secs_f64() / each) as usize).clamp(1, MOST_LAUNCHES)
}

/// Whether values are the same up to rounding.
fn is_close(values: &[f32], expected: &[f32]) -> bool {
    let size = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let near = |(value, expected): (&f32, &f32)| (value - expected).abs() <= TOLERANCE * size;
    values.len() == expected.len() && values.iter().zip(expected).all(near)
}

/// The place of the least time, or of the usual tile's where that is about as good.
fn fastest(times: &[f64], usual: usize) -> usize {
    let least = (0..times.len()).min_by(|a, b| times[*a].total_cmp(&times[*b])).unwrap_or(usual);
    if times[least] < CLEARLY * times[usual] { least } else { usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_is_taken_where_it_is_clearly_faster_than_the_usual() {
        assert_eq!(fastest(&[3.0, 2.0, 1.0, 4.0], 0), 2);
        assert_eq!(fastest(&[1.0, 0.97, 2.0], 0), 0, "chance");
        assert_eq!(fastest(&[1.0, 0.97, 0.9], 0), 2);
        assert_eq!(fastest(&[1.0, 1.0], 1), 1);
        // What computes something else has no time.
        assert_eq!(fastest(&[2.0, f64::INFINITY, 1.0], 0), 2);
        assert_eq!(fastest(&[f64::INFINITY; 3], 1), 1);
    }

    #[test]
    fn values_that_are_wrong_or_not_numbers_are_not_close() {
        let right = [1.0, -200.0, 3.0];
        assert!(is_close(&[1.1, -200.0, 3.0], &right));
        assert!(!is_close(&[1.5, -200.0, 3.0], &right));
        assert!(!is_close(&[f32::NAN, -200.0, 3.0], &right));
        assert!(!is_close(&right[..2], &right));
    }
}
