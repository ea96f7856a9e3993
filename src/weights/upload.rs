//! A weight on its way to the device, in pieces: the host never holds a large one whole.
//!
//! In a browser this is what keeps the engine's memory small: there it only ever grows, and large blocks that come and
//! go leave holes that nothing fits into.
//!
//! On a GPU a large weight gets a buffer of its own length, and small ones share some. cubecl's pages, which are made for values that come and go, are as
//! long as the longest value so far and a little more: filled with weights, an eighth of them stays empty.

use std::ops::Range;

use burn::tensor::{Bytes, DType, Device, Int, Shape, Tensor, TensorData};
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::server::Handle;

use crate::ops::BINDING_ALIGNMENT;
use crate::{Error, Result};

/// Bytes up to which weights share buffers: there are hundreds of them, and together they fill a few.
const SHARED: usize = 64 << 10;

/// Bytes of a buffer that small weights share.
const SHARED_BUFFER: usize = 256 << 10;

/// A buffer on a GPU for small weights, one after the other. In cubecl's pages each would be a place that is looked at for
/// every value that is computed, for as long as the model is there.
pub(super) struct SharedBuffer {
    near: Box<CubeTensor>,
    buffer: Handle,
    used: usize,
}

impl SharedBuffer {
    /// A place for a small weight, in a new buffer where there is no room left; none for a large one, and on the processor.
    pub fn upload(shared: &mut Option<Self>, device: &Device, bytes: usize) -> Option<Upload> {
        if bytes == 0 || bytes > SHARED {
            return None;
        }
        let full = |shared: &Self| shared.used + bytes > SHARED_BUFFER;
        if shared.as_ref().is_none_or(full) {
            let near: CubeTensor = Tensor::<1>::zeros([1], device).try_into_primitive::<CubeBackend>().ok()?;
            let buffer = near.client.memory_persistent_allocation(SHARED_BUFFER, |bytes| near.client.empty(bytes));
            *shared = Some(Self { near: Box::new(near), buffer, used: 0 });
        }
        let shared = shared.as_mut()?;
        let (start, end) = (shared.used as u64, (shared.used + bytes) as u64);
        shared.used = (shared.used + bytes).next_multiple_of(BINDING_ALIGNMENT);
        let buffer = shared.buffer.clone().offset_start(start).offset_end(shared.buffer.size() - end);
        Some(Upload::Gpu { near: shared.near.clone(), buffer, sent: 0 })
    }
}

/// Where the pieces go.
pub(super) enum Upload {
    /// Into a vector, for a device that takes it over as it is.
    Host(Vec<u8>),
    /// Into a buffer on a GPU.
    Gpu {
        /// Any tensor on the device, which gives access to its client.
        near: Box<CubeTensor>,
        buffer: Handle,
        /// Bytes that were sent.
        sent: usize,
    },
}

/// A buffer on a GPU for the rows of several weights, one after the other.
pub(super) struct JointBuffer {
    near: Box<CubeTensor>,
    buffer: Handle,
    /// Of a row.
    bytes: usize,
    dtype: DType,
}

impl JointBuffer {
    /// For so many rows of these bytes; none on the processor.
    pub fn new(device: &Device, rows: usize, bytes: usize, dtype: DType) -> Option<Self> {
        let near: CubeTensor = Tensor::<1>::zeros([1], device).try_into_primitive::<CubeBackend>().ok()?;
        let buffer = near.client.memory_persistent_allocation(rows * bytes, |bytes| near.client.empty(bytes));
        Some(Self { near: Box::new(near), buffer, bytes, dtype })
    }

    /// For the weight of these rows; none where they have another length or type, or could not be bound by themselves.
    pub fn upload(&self, rows: Range<usize>, bytes: usize, dtype: DType) -> Option<Upload> {
        let (start, length) = (rows.start * bytes, rows.len() * bytes);
        let fits = (bytes, dtype) == (self.bytes, self.dtype);
        if !fits || !start.is_multiple_of(BINDING_ALIGNMENT) || !length.is_multiple_of(BINDING_ALIGNMENT) {
            return None;
        }
        let (start, length) = (start as u64, length as u64);
        let buffer = self.buffer.clone().offset_start(start).offset_end(self.buffer.size() - start - length);
        Some(Upload::Gpu { near: self.near.clone(), buffer, sent: 0 })
    }
}

impl Upload {
    /// Makes room for a weight of `bytes` bytes; `pieces` says whether it will come in more than one.
    pub fn new(device: &Device, bytes: usize, pieces: bool) -> Self {
        if pieces && let Ok(near) = Tensor::<1>::zeros([1], device).try_into_primitive::<CubeBackend>() {
            let buffer = near.client.memory_persistent_allocation(bytes, |bytes| near.client.empty(bytes));
            return Self::Gpu { near: Box::new(near), buffer, sent: 0 };
        }
        // Allocated in one go, since a block that grows leaves holes behind it.
        Self::Host(if pieces { Vec::with_capacity(bytes) } else { Vec::new() })
    }

    /// Takes the next piece: a multiple of four bytes, but for the last one.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device was lost.
    pub fn push(&mut self, piece: Vec<u8>, bytes: usize) -> Result<()> {
        match self {
            Self::Host(all) if all.capacity() == 0 => *all = piece,
            Self::Host(all) => all.extend(piece),
            Self::Gpu { near, buffer, sent } => {
                let (from, length) = (*sent, piece.len());
                let place = buffer.clone().offset_start(from as u64).offset_end((bytes - from - length) as u64);
                near.client.write(&place, Bytes::from_bytes_vec(piece));
                *sent += length;
                // Otherwise the pieces queue up, which is what sending pieces is meant to avoid.
                if length > SHARED {
                    near.client.flush().map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// A tensor of floats, once all pieces are there.
    pub fn finish<const D: usize>(self, device: &Device, dtype: DType, shape: [usize; D]) -> Tensor<D> {
        match self {
            Self::Host(bytes) => {
                let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, dtype);
                device.memory_persistent_allocations(data, |data| Tensor::from_data(data, (device, dtype)))
            }
            Self::Gpu { near, buffer, .. } => Tensor::from_primitive::<CubeBackend>(whole(*near, buffer, dtype, shape)),
        }
    }

    /// A tensor of whole numbers of eight bits, once all pieces are there.
    pub fn finish_whole_numbers<const D: usize>(self, device: &Device, shape: [usize; D]) -> Tensor<D, Int> {
        const DTYPE: DType = DType::I8;
        match self {
            Self::Host(bytes) => {
                let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, DTYPE);
                device.memory_persistent_allocations(data, |data| Tensor::from_data(data, (device, DTYPE)))
            }
            Self::Gpu { near, buffer, .. } => Tensor::from_primitive::<CubeBackend>(whole(*near, buffer, DTYPE, shape)),
        }
    }
}

/// The tensor of what is in a buffer, on the device of another.
fn whole<const D: usize>(near: CubeTensor, buffer: Handle, dtype: DType, shape: [usize; D]) -> CubeTensor {
    CubeTensor::new_contiguous(near.client, near.device, Shape::from(shape), buffer, dtype)
}

fn failed(error: impl std::fmt::Debug) -> Error {
    Error::Gpu { during: "loading".to_owned(), reason: format!("{error:?}") }
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use super::*;
    use crate::gpu::{self, noop};

    #[test]
    fn small_weights_lie_one_after_the_other() {
        let device = noop::start().unwrap().device;
        let (mut shared, alignment) = (None, BINDING_ALIGNMENT as u64);
        let mut place = |bytes| match SharedBuffer::upload(&mut shared, &device, bytes)? {
            Upload::Gpu { buffer, .. } => Some(buffer),
            Upload::Host(_) => None,
        };
        let [first, second] = [6, 1024].map(|bytes| place(bytes).unwrap());
        assert_eq!(first.memory.clone().binding().id(), second.memory.clone().binding().id());
        assert_eq!((first.offset_start, first.size_in_used()), (Some(0), 6));
        assert_eq!((second.offset_start, second.size_in_used()), (Some(alignment), 1024));
        assert!(place(SHARED + 1).is_none() && place(0).is_none());
        let rest: Vec<Handle> = (0..SHARED_BUFFER / SHARED).map(|_| place(SHARED).unwrap()).collect();
        let last = rest.last().unwrap();
        assert_ne!(last.memory.clone().binding().id(), first.memory.clone().binding().id(), "the first one is full");
        assert_eq!(last.offset_start, Some(0));
        assert!(SharedBuffer::upload(&mut None, &gpu::cpu(), 6).is_none());
    }
}
