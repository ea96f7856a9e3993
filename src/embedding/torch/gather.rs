//! Numbers of a tensor, in row-major order, out of the bytes of its storage.

use super::super::cursor;
use super::super::pickle::value::Tensor;
use super::super::refusal::{Refusal, shown};

/// The numbers of a tensor of one or two dimensions, whose size the caller has bounded.
///
/// # Errors
/// [`Refusal::Damaged`] if the tensor reaches outside of `storage`.
pub(super) fn gather(name: &str, tensor: &Tensor<'_>, storage: &[u8], big_endian: bool) -> Result<Vec<f32>, Refusal> {
    let outside = || Refusal::damaged(format!("the tensor {}", shown(name)), "it reaches beyond its storage");
    let (rows, columns, down, across) = match (tensor.shape.as_slice(), tensor.stride.as_slice()) {
        ([columns], [across]) => (1, *columns, 0, *across),
        ([rows, columns], [down, across]) => (*rows, *columns, *down, *across),
        _ => return Err(outside()),
    };
    let mut values = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            // The indices were checked when the tensor was made; checked again, since everything below depends on them.
            let at = row.checked_mul(down).zip(column.checked_mul(across));
            let at = at.and_then(|(down, across)| tensor.offset.checked_add(down)?.checked_add(across));
            let size = tensor.dtype.size();
            let at = at.and_then(|at| at.checked_mul(size as u64)).ok_or_else(outside)?;
            let bytes = cursor::span(storage, at, size as u64).ok_or_else(outside)?;
            let mut number = [0; 8];
            let number = number.get_mut(..size).ok_or_else(outside)?;
            number.copy_from_slice(bytes);
            if big_endian {
                number.reverse();
            }
            values.push(tensor.dtype.value(number).ok_or_else(outside)?);
        }
    }
    Ok(values)
}
