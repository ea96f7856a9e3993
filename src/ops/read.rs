//! Reading values back from the device, and waiting for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use burn::tensor::{ExecutionError, Tensor};
use web_time::Instant;

use super::faults;
use super::wgsl::{self, submission};
use crate::{Error, Result};

/// Brings a tensor's values to the host, as f32.
///
/// The only way to read: the synchronous form panics in a browser.
///
/// # Errors
/// [`Error::GpuLost`], [`Error::GpuMemory`] or [`Error::Gpu`] if the device failed before the values were there. Values
/// that were computed after a failure are never given out: they may be anything.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let waiting = Waiting::begin();
    let read = tensor.into_data_async().await;
    drop(waiting);
    // A lost device is reported by the reading or, one layer further down, by looking at what was read.
    let failed = |reason: String| {
        let during = READING.to_owned();
        if faults::is_loss(&reason) {
            Error::GpuLost { during, reason: "the driver has given it up".to_owned() }
        } else {
            Error::Gpu { during, reason: faults::first_line(&reason) }
        }
    };
    let values = match read {
        Ok(data) => data.convert::<f32>().try_to_vec::<f32>().map_err(|error| failed(format!("{error:?}"))),
        Err(ExecutionError::DevicePoisoned { .. }) => Err(failed("device is poisoned".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    };
    submission::values_were_read();
    let values = match values {
        Err(lost @ Error::GpuLost { .. }) => Err(lost),
        // What the driver reported is the cause; what reading made of it is not.
        values => faults::check(READING).and(values),
    };
    if values.is_err() {
        // The runtime remembers of a place that writing it failed, until all of it is written: not of one that nobody uses.
        wgsl::give_back();
    }
    values
}

/// The phase that a failure is seen in.
const READING: &str = "the work before a reading";

/// Since when the device has been waited for: the watchdog looks at it.
static WAITING: Mutex<Option<Instant>> = Mutex::new(None);

/// How long a reader has been waiting for the device; none if nobody is.
pub fn waiting() -> Option<Duration> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
}

/// While this exists, the device is being waited for.
pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn begin() -> Self {
        *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Waits until a tensor is computed, without blocking a page.
pub async fn settle<const D: usize>(tensor: &Tensor<D>) -> Result<()> {
    let first = tensor.clone().slice(std::array::from_fn::<_, D, _>(|_| 0..1)).reshape([1]);
    read::<1>(first).await?;
    Ok(())
}
