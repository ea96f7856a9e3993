//! What an embedding is learned from: pictures and captions, read and checked before a model is loaded.

use std::path::{Path, PathBuf};

use crate::base::files::{self, ReadError};
use crate::cli::args::{Captions, TrainArgs};
use crate::cli::embeddings;
use crate::cli::locate;
use crate::config::Init;
use crate::event::{Event, WarningCode};
use crate::image::Picture;
use crate::image::find::{Caption, caption_for, find_pictures, is_same};
use crate::train::templates::{parse_caption, parse_template_file};
use crate::train::{Replay, TrainInput, TrainPicture};
use crate::{Error, Result};

/// What the embedding starts from, the only place that decides between a file and a phrase; and what should be known of the file.
pub(super) fn init(typed: Option<&str>) -> Result<(Init, Vec<Event>)> {
    let plain = |init| Ok((init, Vec::new()));
    match typed {
        Some(file) if locate::names_an_embedding_file(file) => {
            let (embedding, notes) = embeddings::read_whole(Path::new(file))?;
            Ok((Init::Embedding(embedding), notes))
        }
        Some(phrase) => plain(Init::Phrase(phrase.to_owned())),
        None => plain(Init::Random),
    }
}

/// Reads everything else that `train` was given, and what the user should know about it: all of it without a model.
pub(super) fn gather(args: &TrainArgs, init: Init) -> Result<(TrainInput, Vec<Event>)> {
    let mut events = Vec::new();
    let templates = match &args.template {
        Some(path) => Some(parse_template_file(&files::read_text(path)?, &path.display().to_string())?),
        None => None,
    };
    let replay = match &args.replay {
        Some(path) => Some(Replay::read(&files::read(path)?, &path.display().to_string())?),
        None => None,
    };
    let pictures = read_pictures(&args.pictures, args, &mut events)?;
    let unseen = read_pictures(&args.unseen, args, &mut events)?;
    // Both sets may cause the same warning.
    events.dedup();
    let record = args.record.is_some();
    let input = TrainInput { pictures, unseen, templates, init: Some(init), replay, record, only_work: false };
    Ok((input, events))
}

/// Pictures in files and folders, each with its caption if captions are to be used.
fn read_pictures(places: &[PathBuf], args: &TrainArgs, events: &mut Vec<Event>) -> Result<Vec<TrainPicture>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = find_pictures(places)?;
    // What is kept for comparison may lie inside the folder, or the other way round.
    let given = |folder: &PathBuf| args.pictures.iter().chain(&args.unseen).any(|place| is_same(place, folder));
    found.skipped.folders.retain(|folder| !given(folder));
    events.extend(found.skipped.sentences().into_iter().map(|text| Event::warning(WarningCode::SkippedFiles, text)));
    if let ([first, rest @ ..], true) = (found.captions.as_slice(), args.captions != Captions::Off) {
        let text = match rest.len() {
            0 => format!("{first} belongs to no picture: a caption has its picture's name"),
            more => format!("{first} and {more} more texts belong to no picture: a caption has its picture's name"),
        };
        events.push(Event::warning(WarningCode::UnusedCaptions, text));
    }
    let captions = captions(&found.pictures, args, events)?;
    let mut pictures = Vec::new();
    for (path, caption) in found.pictures.iter().zip(captions) {
        let bytes = read_picture(path)?;
        let mut picture = Picture::decode(&path.display().to_string(), &bytes)?;
        events.extend(picture.take_warning());
        pictures.push(TrainPicture { picture, caption, weights: None });
    }
    Ok(pictures)
}

/// The bytes of a picture's file; what cannot be read is refused as a picture.
fn read_picture(path: &Path) -> Result<Vec<u8>> {
    files::read(path).map_err(|error| match error {
        ReadError::Unusable { path, reason } => Error::BadPicture { file: path.display().to_string(), reason },
        other => other.into(),
    })
}

/// The captions, one for each picture, if they are to be used.
fn captions(paths: &[PathBuf], args: &TrainArgs, events: &mut Vec<Event>) -> Result<Vec<Option<String>>> {
    let none = vec![None; paths.len()];
    if args.captions == Captions::Off || paths.is_empty() {
        return Ok(none);
    }
    let found = paths.iter().map(|path| caption_for(path)).collect::<Result<Vec<_>>>()?;
    let with = found.iter().flatten().count();
    if let Some(without) = paths.iter().zip(&found).find_map(|(path, caption)| caption.is_none().then_some(path)) {
        if args.captions == Captions::On {
            let wanted = without.with_extension("txt");
            let text = format!(
                "{} has no caption: write one to {}, or leave out --captions on",
                without.display(),
                wanted.display()
            );
            return Err(Error::Usage(text));
        }
        if with > 0 {
            let text = format!("only {with} of {} pictures have captions, so none are used", paths.len());
            events.push(Event::warning(WarningCode::SomeCaptions, text));
        }
        return Ok(none);
    }
    let slotted = |caption: Caption| {
        let bad = |reason: String| Error::BadFile {
            file: caption.file.display().to_string(),
            reason: format!("{reason}; correct it, or give --captions off"),
        };
        parse_caption(&caption.text, &args.config.token).map(Some).map_err(bad)
    };
    found.into_iter().flatten().map(slotted).collect()
}
