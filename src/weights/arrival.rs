//! Whether weights are on the device as they were in the file.
//!
//! Uploads can fail silently: tensors sent in a burst were found to be zeros on the GPU (cubecl#1120), and a browser
//! may drop what it has no memory for. So the first and last values of every sixteenth weight are read back, in one go,
//! before a part of a model counts as loaded. They are widened for the comparison, so that kernel is checked too.

use std::cell::{Cell, RefCell};

use burn::tensor::Tensor;
use half::f16;

use crate::ops::{Weight, read};
use crate::{Error, Result};

/// One in this many weights is checked.
const EVERY: usize = 16;
/// Values at either end that are compared.
const WINDOW: usize = 32;

/// Weights to check.
#[derive(Default)]
pub(super) struct Arrival {
    sent: Cell<usize>,
    noted: RefCell<Vec<Noted>>,
}

struct Noted {
    path: String,
    ends: Vec<f32>,
    there: Box<dyn FnOnce() -> Tensor<1>>,
}

impl Arrival {
    /// Whether the next weight is one to note.
    pub fn wants(&self) -> bool {
        let count = self.sent.get();
        self.sent.set(count + 1);
        count.is_multiple_of(EVERY)
    }

    /// Notes a weight that was sent as these `ends`.
    pub fn note<const D: usize>(&self, path: String, ends: Ends, weight: Weight<D>) {
        let there = move || {
            let count = weight.dims().iter().product::<usize>();
            if count <= 2 * WINDOW {
                return weight.some(0..count);
            }
            Tensor::cat(vec![weight.some(0..WINDOW), weight.some(count - WINDOW..count)], 0)
        };
        self.noted.borrow_mut().push(Noted { path, ends: ends.values(), there: Box::new(there) });
    }

    /// Reads back what was noted.
    ///
    /// # Errors
    /// [`Error::Gpu`] with the weights that are not what they were.
    pub async fn check(&self) -> Result<()> {
        let (mut sent, mut pieces) = (Vec::new(), Vec::new());
        for Noted { path, ends, there } in self.noted.take() {
            sent.push((path, ends));
            pieces.push(there());
        }
        if pieces.is_empty() {
            return Ok(());
        }
        let there = read(Tensor::cat(pieces, 0)).await?;
        let mut rest = there.as_slice();
        let mut damaged = Vec::new();
        for (path, ends) in &sent {
            let (piece, after) = rest.split_at(ends.len().min(rest.len()));
            rest = after;
            // Subnormal halves may become zeros in the upload; NaN is equal to nothing, so bits are compared where
            // values differ.
            let same = |a: f32, b: f32| a == b || a.to_bits() == b.to_bits() || (a - b).abs() < 6.2e-5;
            if piece.len() != ends.len() || !ends.iter().zip(piece).all(|(a, b)| same(*a, *b)) {
                damaged.push(path.as_str());
            }
        }
        if damaged.is_empty() {
            return Ok(());
        }
        let (all, some, named) = (sent.len(), damaged.len(), damaged[..damaged.len().min(3)].join(", "));
        let reason = format!(
            "of {all} weights that were read back, {some} are not what was sent ({named}); it may be short of memory: close \
             other programs that use it, or update its driver"
        );
        Err(Error::Gpu { during: "loading".to_owned(), reason })
    }
}

/// The first and last values of a weight, collected from its pieces; all of a short one.
#[derive(Default)]
pub(super) struct Ends {
    first: Vec<f32>,
    last: Vec<f32>,
}

impl Ends {
    /// Takes the next piece: values of `size` bytes, 2 or 4.
    pub fn push(&mut self, bytes: &[u8], size: usize) {
        let value = |bytes: &[u8]| match bytes {
            [a, b] => f16::from_le_bytes([*a, *b]).to_f32(),
            [a, b, c, d] => f32::from_le_bytes([*a, *b, *c, *d]),
            _ => f32::NAN,
        };
        let values = bytes.chunks_exact(size).map(value);
        let wanted = WINDOW - self.first.len();
        self.first.extend(values.clone().take(wanted));
        let rest = values.skip(wanted);
        let skipped = rest.len().saturating_sub(WINDOW);
        self.last.extend(rest.skip(skipped));
        let old = self.last.len().saturating_sub(WINDOW);
        self.last.drain(..old);
    }

    fn values(self) -> Vec<f32> {
        [self.first, self.last].concat()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bytes, DType, TensorData};

    use super::*;

    /// A weight of these values, noted as if `sent` had been sent.
    fn noted(arrival: &Arrival, path: &str, sent: &[f32], there: &[f32]) {
        let halves = |values: &[f32]| values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>();
        let data = TensorData::from_bytes(Bytes::from_bytes_vec(halves(there)), [there.len()], DType::F16);
        let weight = Weight::<1>::new(Tensor::from_data(data, (&crate::gpu::cpu(), DType::F16)));
        let mut ends = Ends::default();
        // In two pieces, the second of them a short one.
        let (one, two) = sent.split_at(sent.len() - 2);
        for piece in [one, two] {
            ends.push(&halves(piece), 2);
        }
        arrival.note(path.to_owned(), ends, weight);
    }

    #[test]
    fn what_arrived_passes_and_what_did_not_is_named() {
        let values: Vec<f32> = (0..100).map(|i| i as f32 / 8.0 - 3.0).collect();
        let arrival = Arrival::default();
        assert!(arrival.wants() && !arrival.wants(), "one of many");
        noted(&arrival, "long", &values, &values);
        noted(&arrival, "short", &values[..5], &values[..5]);
        pollster::block_on(arrival.check()).unwrap();
        noted(&arrival, "fine", &values, &values);
        noted(&arrival, "zeros", &values, &[0.0; 100]);
        let mut last = values.clone();
        last[99] += 1.0;
        noted(&arrival, "end", &values, &last);
        let said = pollster::block_on(arrival.check()).unwrap_err().to_string();
        assert!(said.contains("of 3 weights") && said.contains("2 are not what was sent (zeros, end)"), "{said}");
    }
}
