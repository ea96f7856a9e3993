//! The autoencoder on pictures that are larger than it was trained on, a tile at a time.
//!
//! Memory then grows with the tile and not with the picture. Tiles overlap by a quarter and are blended linearly, as
//! `AutoencoderKL.tiled_decode` and `tiled_encode` of diffusers do; a tile is normalised on its own, so the result
//! differs a little from that of the whole. Blending happens on the host, where results go anyway.

use burn::tensor::Tensor;

use super::{VaeDecoder, VaeEncoder};
use crate::{Result, ops};

/// Side of a tile in latents: what the published autoencoders were trained on, 512 pixels.
pub const TILE: usize = 64;

/// Values `[h, w, c]`, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Height and width.
    pub size: [usize; 2],
    /// Values at a position.
    pub channels: usize,
    /// The values.
    pub values: Vec<f32>,
}

/// How a side is cut into tiles.
struct Side {
    /// From the beginning of one tile to that of the next.
    step: usize,
    /// Length of a tile; the last one may be shorter.
    tile: usize,
    /// Length of the side.
    length: usize,
}

impl Side {
    /// Where tiles begin. The last one ends the side. diffusers adds another where only the overlap is left: it blends
    /// the last tile with one that sees nothing else, and ends up further from the result without tiles.
    fn starts(&self) -> impl Iterator<Item = usize> + use<> {
        let overlap = self.tile - self.step;
        (0..self.length.saturating_sub(overlap).max(1)).step_by(self.step)
    }
}

/// Decodes one latent `[1, h, w, 4]`, in tiles of `tile` latents if it is larger.
///
/// # Errors
/// Those of the device.
pub async fn decode(decoder: &VaeDecoder, latents: &Tensor<4>, tile: usize) -> Result<Map> {
    tiled(latents, tile, async |part| platform_map(decoder.decode(&part)).await).await
}

/// Means and standard deviations of a picture's latents `[1, H, W, 3]`, side by side in the channels, in tiles of
/// `tile` pixels if it is larger. What is blended are the logarithms of the variances, as in diffusers.
///
/// # Errors
/// Those of the device.
pub async fn encode(encoder: &VaeEncoder, pixels: &Tensor<4>, tile: usize) -> Result<Map> {
    let mut map = tiled(pixels, tile, async |part| {
        let posterior = encoder.encode(&part);
        platform_map(Tensor::cat(vec![posterior.mean, posterior.logvar], 3)).await
    })
    .await?;
    for moments in map.values.chunks_exact_mut(map.channels.max(1)) {
        let (_, logvar) = moments.split_at_mut(map.channels / 2);
        logvar.iter_mut().for_each(|value| *value = libm::expf(0.5 * *value));
    }
    Ok(map)
}

async fn platform_map(tensor: Tensor<4>) -> Result<Map> {
    let [_, height, width, channels] = tensor.dims();
    Ok(Map { size: [height, width], channels, values: ops::read(tensor).await? })
}

async fn tiled(x: &Tensor<4>, tile: usize, work: impl AsyncFn(Tensor<4>) -> Result<Map>) -> Result<Map> {
    let [_, height, width, _] = x.dims();
    if height <= tile && width <= tile {
        return work(x.clone()).await;
    }
    let side = |length: usize| Side { step: tile - tile / 4, tile, length };
    let (down, across) = (side(height), side(width));
    let mut rows: Vec<Map> = Vec::new();
    let mut above: Vec<Map> = Vec::new();
    let last = down.starts().last();
    for y in down.starts() {
        let mut tiles: Vec<Map> = Vec::new();
        for (i, x_at) in across.starts().enumerate() {
            let [h, w] = [tile.min(height - y), tile.min(width - x_at)];
            let mut result = work(x.clone().narrow(1, y, h).narrow(2, x_at, w)).await?;
            let [high, wide] = [scaled(tile / 4, h, result.size[0]), scaled(tile / 4, w, result.size[1])];
            if let Some(upper) = above.get(i) {
                blend(upper, &mut result, 0, high);
            }
            if let Some(left) = tiles.last() {
                blend(left, &mut result, 1, wide);
            }
            tiles.push(result);
        }
        let taken = tiles
            .first()
            .map_or(0, |first| if last == Some(y) { first.size[0] } else { scaled(down.step, tile, first.size[0]) });
        rows.push(joined(&tiles, taken, tile, &across));
        above = tiles;
    }
    let (first_width, channels) = rows.first().map_or((0, 0), |row| (row.size[1], row.channels));
    let total = rows.iter().map(|row| row.size[0]).sum();
    let values = rows.into_iter().flat_map(|row| row.values).collect();
    Ok(Map { size: [total, first_width], channels, values })
}

/// How many result positions `part` of `of` given positions are, where all of them are `result`.
fn scaled(part: usize, of: usize, result: usize) -> usize {
    part * result / of.max(1)
}

/// Fades a tile's beginning in over the end of the one before it: the `extent` positions that both have.
fn blend(before: &Map, tile: &mut Map, axis: usize, extent: usize) {
    let extent = extent.min(before.size[axis]).min(tile.size[axis]);
    let [height, width] = tile.size;
    let span = if axis == 0 { [extent, width.min(before.size[1])] } else { [height.min(before.size[0]), extent] };
    for y in 0..span[0] {
        for x in 0..span[1] {
            let (at, share) = if axis == 0 {
                ([before.size[0] - extent + y, x], y as f32 / extent as f32)
            } else {
                ([y, before.size[1] - extent + x], x as f32 / extent as f32)
            };
            for c in 0..tile.channels {
                let old = before.values[(at[0] * before.size[1] + at[1]) * before.channels + c];
                let new = &mut tile.values[(y * width + x) * tile.channels + c];
                *new = old * (1.0 - share) + *new * share;
            }
        }
    }
}

/// A row of tiles side by side, `taken` positions high: of each but the last what is left of the overlap.
fn joined(tiles: &[Map], taken: usize, tile: usize, across: &Side) -> Map {
    let channels = tiles.first().map_or(0, |first| first.channels);
    let widths: Vec<usize> = tiles
        .iter()
        .enumerate()
        .map(|(i, map)| if i + 1 < tiles.len() { scaled(across.step, tile, map.size[1]) } else { map.size[1] })
        .collect();
    let mut values = Vec::with_capacity(taken * widths.iter().sum::<usize>() * channels);
    for y in 0..taken {
        for (map, width) in tiles.iter().zip(&widths) {
            let start = y * map.size[1] * channels;
            values.extend_from_slice(&map.values[start..start + width * channels]);
        }
    }
    Map { size: [taken, widths.iter().sum()], channels, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a doubling network gives, with each tile's values as they are.
    fn doubled(height: usize, width: usize, tile: usize) -> Map {
        let device = crate::gpu::cpu();
        let values: Vec<f32> = (0..height * width).map(|i| (i / width) as f32 + 0.001 * (i % width) as f32).collect();
        let x = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, height, width, 1]);
        let double = async |part: Tensor<4>| {
            let [_, h, w, c] = part.dims();
            let wide = part.reshape([h, 1, w, 1, c]).repeat_dim(1, 2).repeat_dim(3, 2);
            platform_map(wide.reshape([1, 2 * h, 2 * w, c])).await
        };
        pollster::block_on(tiled(&x, tile, double)).unwrap()
    }

    #[test]
    fn tiles_of_a_local_network_give_what_the_whole_gives() {
        for (height, width) in [(8, 8), (8, 20), (17, 8), (13, 21), (30, 9), (14, 14)] {
            let (whole, tiles) = (doubled(height, width, 64), doubled(height, width, 8));
            assert_eq!(tiles.size, [2 * height, 2 * width]);
            let worst = whole.values.iter().zip(&tiles.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{height} x {width}: off by {worst}");
        }
    }

    #[test]
    fn a_seam_is_a_ramp() {
        let map = |value: f32| Map { size: [4, 1], channels: 1, values: vec![value; 4] };
        let mut below = map(1.0);
        blend(&map(0.0), &mut below, 0, 4);
        assert_eq!(below.values, [0.0, 0.25, 0.5, 0.75]);
    }
}
