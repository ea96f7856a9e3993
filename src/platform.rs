//! What differs between a native program and a browser tab, and reading values back from the device.

use burn::tensor::Tensor;

use crate::{Error, Result};

/// Brings a tensor's values to the host, as f32.
///
/// The only way to read: the synchronous form panics in a browser.
///
/// # Errors
/// [`Error::Gpu`] if the device failed before the values were there.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |reason: String| Error::Gpu { during: "reading back".to_owned(), reason };
    let data = tensor.into_data_async().await.map_err(|error| failed(format!("{error:?}")))?;
    data.convert::<f32>().try_to_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
}

/// Waits until a tensor is computed, and lets the page breathe meanwhile.
pub async fn settle<const D: usize>(tensor: &Tensor<D>) -> Result<()> {
    let first = tensor.clone().slice(std::array::from_fn::<_, D, _>(|_| 0..1)).reshape([1]);
    read::<1>(first).await?;
    Ok(())
}
