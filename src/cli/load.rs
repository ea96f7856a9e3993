//! A model onto a device.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::locate;
use super::outlook::Outlook;
use super::output::Output;
use crate::base::bytes::hex;
use crate::event::{Event, Part, WarningCode};
use crate::gpu::precision::{self, Decision};
use crate::gpu::tuning::{self, Tuning};
use crate::gpu::{Chosen, Precision};
use crate::mini;
use crate::model::{Loading, OpenedModel};
use crate::plan::WeightBytes;
use crate::session::Session;
use crate::setting::Setting;
use crate::source::Source;
use crate::weights::{Storage, files as weight_files};
use crate::{Error, Result};

/// Bytes that are hashed at a time.
const CHUNK: u64 = 16 << 20;

/// A model as files and labels name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelId {
    /// The folder's name without its path, which is private.
    pub name: String,
    /// SHA-256 of the U-Net's weights.
    pub hash: Option<String>,
}

impl ModelId {
    /// Identifies a model by its files, which are read for that.
    pub async fn of(source: &dyn Source) -> Result<Self> {
        Ok(Self { hash: unet_hash(source).await?, ..Self::named(source) })
    }

    /// Names a model that is not loaded yet.
    pub fn named(source: &dyn Source) -> Self {
        let name = source.name();
        let name = match name.as_str() {
            mini::NAME => "mini".to_owned(),
            path => {
                Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
            }
        };
        Self { name, hash: None }
    }
}

async fn unet_hash(source: &dyn Source) -> Result<Option<String>> {
    let Some(paths) = weight_files::find(source, Part::Unet).await? else { return Ok(None) };
    let mut hash = Sha256::new();
    for path in paths {
        let length = source.length(&path).await?.unwrap_or(0);
        for start in (0..length).step_by(CHUNK as usize) {
            hash.update(source.read(&path, start..length.min(start + CHUNK)).await?);
        }
    }
    Ok(Some(hex(&hash.finalize())))
}

/// Prints how much memory the work will need; gives how the weights will be kept: narrower than is usual where only that fits,
/// unless the user says how.
///
/// # Errors
/// [`Error::TooLittleMemory`] if the work cannot be done, and those of the plan.
pub(super) async fn planned(outlook: &Outlook<'_>, opened: &OpenedModel, out: &mut Output) -> Result<Storage> {
    let usual = opened.storage(outlook.storage(), outlook.on_gpu()).await?;
    let (mut wanted, mut refused) = (None, None);
    for storage in outlook.storages(usual) {
        let weights = WeightBytes::read(&*opened.source, storage, &opened.config.left_in_files()).await?;
        let (sentence, tight) = match outlook.before_loading(&opened.config, weights) {
            Err(Error::TooLittleMemory { need, have, advice }) => {
                wanted.get_or_insert_with(|| format!("this would need {need}, but {have}"));
                refused = Some(Error::TooLittleMemory { need, have, advice });
                continue;
            }
            looked => looked?,
        };
        if let Some(text) = weights.left_in_eight_bits(outlook.storage()) {
            out.event(&Event::warning(WarningCode::NoEffect, text))?;
        }
        if let Some(wanted) = wanted {
            let text = format!("{wanted}; it fits with {} {}, which is used", Setting::Weights, storage.name());
            out.event(&Event::warning(WarningCode::Memory, text))?;
        }
        if let Some(sentence) = sentence {
            out.message(&sentence);
        }
        if let Some(tight) = tight {
            out.event(&Event::warning(WarningCode::Memory, tight))?;
        }
        return Ok(storage);
    }
    Err(refused.unwrap_or_else(|| Error::Internal("no way to keep the weights".to_owned())))
}

/// Whether the work fits into the memory as weights are usually kept, with nothing to be said against it.
///
/// # Errors
/// What cannot be read of the model, and those of the plan.
pub(super) async fn fits(outlook: &Outlook<'_>, opened: &OpenedModel) -> Result<bool> {
    let storage = opened.storage(outlook.storage(), outlook.on_gpu()).await?;
    let weights = WeightBytes::read(&*opened.source, storage, &opened.config.left_in_files()).await?;
    match outlook.before_loading(&opened.config, weights) {
        Err(Error::TooLittleMemory { .. }) => Ok(false),
        looked => Ok(looked?.1.is_none()),
    }
}

/// Prints how much memory the work will need, and loads the model.
///
/// # Errors
/// [`Error::TooLittleMemory`] before anything is loaded, if the work cannot be done.
pub(super) async fn session(
    outlook: &Outlook<'_>,
    opened: &OpenedModel,
    loading: Loading,
    out: &mut Output,
) -> Result<Session> {
    Ok(decided(outlook, opened, loading, out).await?.0)
}

/// The same, and what was decided about the precision of products, where there was something to decide.
///
/// # Errors
/// As for [`session`].
pub(super) async fn decided(
    outlook: &Outlook<'_>,
    opened: &OpenedModel,
    loading: Loading,
    out: &mut Output,
) -> Result<(Session, Option<Decision>)> {
    let storage = planned(outlook, opened, out).await?;
    tune(outlook.device, out).await?;
    let decision = settle_precision(outlook.device, outlook.precision, out).await?;
    let mut written = Ok(());
    let loading = Loading { storage: Some(storage), ..loading };
    let session = Session::of(opened, &outlook.device.device, loading, &mut |event| {
        if written.is_ok() {
            written = out.event(&event);
        }
    })
    .await;
    // A reader who went away does not explain a failure that may have followed.
    let session = session?;
    written?;
    Ok((session, decision))
}

/// Tunes matrix products for a device; prints what was measured for that, or what went wrong.
async fn tune(chosen: &Chosen, out: &mut Output) -> Result<()> {
    match tuning::tune(chosen, locate::cache().as_deref(), false).await {
        Some(tuning @ Tuning::Measured { .. }) => {
            out.message(&format!("matrix products are computed {}", tuning.sentence()))
        }
        Some(tuning @ Tuning::Failed(_)) => {
            let text = format!("matrix products are computed {}", tuning.sentence());
            out.event(&Event::warning(WarningCode::Tuning, text))?;
        }
        _ => {}
    }
    Ok(())
}

/// Decides in which precision products are made on a device, and reports it.
async fn settle_precision(chosen: &Chosen, asked: Precision, out: &mut Output) -> Result<Option<Decision>> {
    let Some(decision) = precision::decide(chosen, &locate::findings(), asked, false).await? else {
        return Ok(None);
    };
    if decision.used.is_some() {
        out.event(&decision.event())?;
    } else if let Some(complaint) = decision.findings.complaint() {
        let text = format!("matrix products are computed in f32: {complaint}");
        out.event(&Event::warning(WarningCode::HalfProducts, text))?;
    }
    Ok(Some(decision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Folder;

    #[test]
    fn the_model_in_the_program_is_known_by_name_and_hash() {
        let id = pollster::block_on(ModelId::of(&mini::source())).unwrap();
        assert_eq!(id.name, "mini");
        assert_eq!(id.hash.unwrap().len(), 64);
        let folder = Folder::new("somewhere/secret/model");
        let id = pollster::block_on(ModelId::of(&folder)).unwrap();
        assert_eq!(id, ModelId { name: "model".to_owned(), hash: None });
    }
}
