//! Between files, which have channels first (`[n, 4, h, w]`, as PyTorch does), and tensors, which have them last.

use burn::tensor::{Device, Tensor};

/// Values of `[n, c, h, w]` as a tensor `[n, h, w, c]`.
pub fn channels_last(values: &[f32], [n, c, h, w]: [usize; 4], device: &Device) -> Tensor<4> {
    let mut moved = Vec::with_capacity(values.len());
    for sample in values.chunks_exact(c * h * w) {
        for position in 0..h * w {
            moved.extend((0..c).map(|channel| sample[channel * h * w + position]));
        }
    }
    Tensor::<1>::from_floats(moved.as_slice(), device).reshape([n, h, w, c])
}

/// Values of `[n, h, w, c]` as values of `[n, c, h, w]`.
pub fn channels_first(values: &[f32], [_, h, w, c]: [usize; 4]) -> Vec<f32> {
    let mut moved = Vec::with_capacity(values.len());
    for sample in values.chunks_exact(c * h * w) {
        for channel in 0..c {
            moved.extend((0..h * w).map(|position| sample[position * c + channel]));
        }
    }
    moved
}
