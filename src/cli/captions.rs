//! `pseudoword captions`: captions that are made from pictures, in files beside them.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{CaptionsArgs, Shared};
use super::load;
use super::locate;
use super::outlook::Outlook;
use super::output::Output;
use super::train::read_picture;
use super::wording::quoted;
use crate::base::files::write_whole;
use crate::config::{Backgrounds, Init, Masks, TrainConfig};
use crate::event::{Event, WarningCode};
use crate::gpu;
use crate::image::Picture;
use crate::image::find::{Caption, caption_for, find_pictures};
use crate::model::{Loading, ModelConfig};
use crate::plan::WeightBytes;
use crate::text::check_token;
use crate::train::templates::fill;
use crate::train::{MakeCaptions, TrainInput, TrainPicture};
use crate::{Error, Result};

/// A token for the run that is never made.
const ANY: &str = "<the-word>";

/// A picture's file, and the caption that it has.
struct File {
    picture: PathBuf,
    caption: Option<Caption>,
}

/// Makes a caption for each picture, and writes it where there is none.
///
/// # Errors
/// What is wrong with the pictures, their captions, the model or the device.
pub(super) async fn run(args: &CaptionsArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    if let Some(token) = &args.token {
        check_token(token).map_err(otherwise)?;
    }
    let found = find_pictures(&args.pictures)?;
    for text in found.skipped.sentences() {
        out.event(&Event::warning(WarningCode::SkippedFiles, text))?;
    }
    let with_caption = |picture: PathBuf| Ok(File { caption: caption_for(&picture)?, picture });
    let files = found.pictures.into_iter().map(with_caption).collect::<Result<Vec<_>>>()?;
    if !args.overwrite && files.iter().all(|file| file.caption.is_some()) {
        out.message("every picture has a caption: --overwrite would replace them");
        return Ok(());
    }
    let made = make(args, shared, &files, out).await?;
    let mut written = 0;
    for (file, event) in files.iter().zip(&made) {
        let Event::Caption { name, caption, parts, .. } = event else { continue };
        let is_kept = file.caption.is_some() && !args.overwrite;
        let caption = caption.as_ref().filter(|_| !is_kept);
        let text = caption.map(|text| args.token.as_ref().map_or_else(|| text.clone(), |token| fill(text, token)));
        let path = file.caption.as_ref().map_or_else(|| beside(&file.picture, &files), |caption| caption.file.clone());
        let line = match &text {
            Some(text) => {
                if !args.dry_run {
                    write_whole(&path, format!("{text}\n").as_bytes())?;
                    written += 1;
                }
                format!("{}: {text}", path.display())
            }
            None if is_kept => format!("{}: kept as it is", path.display()),
            None => format!("{name}: no caption, since nothing but the thing is clear"),
        };
        let object = json!({
            "event": "caption", "name": name, "caption": text, "parts": parts, "kept": is_kept,
            "path": text.as_ref().filter(|_| !args.dry_run).map(|_| path.display().to_string()),
        });
        out.result(&[line], &object)?;
    }
    out.message(&match written {
        _ if args.dry_run => "this is a dry run: nothing was written".to_owned(),
        0 => "nothing was written".to_owned(),
        1 => "1 caption was written: read and correct it, `pseudoword train` uses it".to_owned(),
        more => format!("{more} captions were written: read and correct them, `pseudoword train` uses them"),
    });
    Ok(())
}

/// The captions that a run would make, as events, one for each picture.
async fn make(args: &CaptionsArgs, shared: &Shared, files: &[File], out: &mut Output) -> Result<Vec<Event>> {
    let mut pictures = Vec::new();
    for File { picture: path, .. } in files {
        let mut picture = Picture::decode(&path.display().to_string(), &read_picture(path)?)?;
        picture.take_warning().map_or(Ok(()), |warning| out.event(&warning))?;
        pictures.push(TrainPicture { picture, caption: None, mask: None });
    }
    let mut config = TrainConfig {
        token: ANY.to_owned(),
        init: args.init.clone(),
        kind: args.kind,
        seed: args.seed,
        preview_every: 0,
        // They are of the pictures as they are.
        masks: Some(Masks::Off),
        backgrounds: Some(Backgrounds::Kept),
        ..TrainConfig::default()
    };
    let device = gpu::choose(shared.device)?;
    let planned = {
        let config = config.clone();
        move |model: &ModelConfig, weights: WeightBytes, on_cpu: bool| {
            crate::train::memory_plan(&config, model, weights, 1, on_cpu)
        }
    };
    let outlook = Outlook::new(shared, &device, &planned);
    let opened = locate::model_for(shared, &outlook, out).await?;
    if let Some(token) = &args.token {
        opened.tokenizers.first().check_word(token).map_err(otherwise)?;
    }
    let tokens = args.init.as_ref().map_or(1, |init| opened.tokenizers.first().encode(init).len());
    config.vectors = Some(tokens.max(1) as u32);
    out.event(&device.event())?;
    let loading = Loading { decoder: false, ..Loading::default() };
    let session = load::session(&outlook, &opened, loading, out).await?;
    let init = Some(Init::of_phrase(args.init.as_ref()));
    let count = pictures.len();
    let input = TrainInput { pictures, init, make_captions: MakeCaptions::AtOnce, ..TrainInput::default() };
    let mut job = session.train(&config, input)?;
    let mut made = Vec::new();
    while made.len() < count {
        match job.next().await? {
            Some(event @ Event::Caption { .. }) => made.push(event),
            Some(event @ (Event::Encode { .. } | Event::Describe { .. } | Event::Load { .. })) => out.event(&event)?,
            Some(_) => {}
            None => return Err(Error::Internal("the run ended before its captions were made".to_owned())),
        }
    }
    Ok(made)
}

/// An error about a token, with what to type instead.
fn otherwise(error: Error) -> Error {
    error.called_otherwise(|name| format!("--token {}", quoted(name)))
}

/// Where the caption of a picture goes: `cat.txt`, or `cat.png.txt` where there is a `cat.jpg`, too.
fn beside(picture: &Path, files: &[File]) -> PathBuf {
    let stem = |path: &Path| path.with_extension("").to_string_lossy().to_lowercase();
    let alike = files.iter().filter(|file| stem(&file.picture) == stem(picture)).count();
    if alike < 2 {
        return picture.with_extension("txt");
    }
    let mut name = picture.as_os_str().to_owned();
    name.push(".txt");
    PathBuf::from(name)
}
