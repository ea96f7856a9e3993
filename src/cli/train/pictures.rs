//! What an embedding is learned from: pictures and captions, read and checked before a model is loaded.

use std::path::{Path, PathBuf};

use image::GrayImage;

use crate::base::files::{self, ReadError};
use crate::cli::args::{Captions, TrainArgs};
use crate::cli::embeddings;
use crate::cli::locate;
use crate::config::{Init, Masks};
use crate::event::{Event, WarningCode};
use crate::image::find::{Caption, caption_for, find_pictures, is_same, mask_for, masks_without};
use crate::image::{Mask, Picture};
use crate::train::templates::{parse_caption, parse_template_file};
use crate::train::{MakeCaptions, Replay, TrainInput, TrainPicture};
use crate::{Error, Result};

/// What the embedding starts from, the only place that decides between a file and a phrase; and what should be known of the file.
fn init(typed: Option<&str>) -> Result<(Init, Vec<Event>)> {
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
pub(super) fn gather(args: &TrainArgs) -> Result<(TrainInput, Vec<Event>)> {
    let (init, mut events) = init(args.config.init.as_deref())?;
    let second_init = match &args.config.second_init {
        Some(typed) => {
            let (init, notes) = self::init(Some(typed))?;
            events.extend(notes);
            Some(init)
        }
        None => None,
    };
    let words = args.config.tokens().len();
    let templates = match &args.template {
        Some(path) => Some(parse_template_file(&files::read_text(path)?, &path.display().to_string(), words)?),
        None => None,
    };
    let replay = match &args.replay {
        Some(path) => Some(Replay::read(&files::read(path)?, &path.display().to_string())?),
        None => None,
    };
    let pictures = read_pictures(&args.pictures, args, &mut events)?;
    let unseen = read_pictures(&args.unseen, args, &mut events)?;
    if let (Some(folder), false) = (&args.mask_folder, args.config.masks == Some(Masks::Off)) {
        let names = pictures.iter().chain(&unseen).map(|picture| Path::new(&picture.picture.name));
        events.extend(lost_masks(&masks_without(folder, names)?));
    }
    // Both sets may cause the same warning.
    events.dedup();
    let record = args.record.is_some();
    let make_captions = match args.captions {
        Captions::Made => MakeCaptions::Always,
        Captions::Auto => MakeCaptions::Usually,
        Captions::On | Captions::Off => MakeCaptions::Never,
    };
    let input = TrainInput {
        make_captions,
        pictures,
        unseen,
        templates,
        init: Some(init),
        second_init,
        replay,
        record,
        only_work: false,
    };
    Ok((input, events))
}

/// Pictures in files and folders, each with its caption if captions are to be used.
fn read_pictures(places: &[PathBuf], args: &TrainArgs, events: &mut Vec<Event>) -> Result<Vec<TrainPicture>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = find_pictures(places)?;
    // What is kept for comparison may lie inside the folder, or the other way round.
    let places = || args.pictures.iter().chain(&args.unseen).chain(&args.mask_folder);
    let given = |folder: &PathBuf| places().any(|place| is_same(place, folder));
    found.skipped.folders.retain(|folder| !given(folder));
    events.extend(found.skipped.sentences().into_iter().map(|text| Event::warning(WarningCode::SkippedFiles, text)));
    if let ([first, rest @ ..], true) = (found.captions.as_slice(), reads_files(args)) {
        let text = match rest.len() {
            0 => format!("{first} belongs to no picture: a caption has its picture's name"),
            more => format!("{first} and {more} more texts belong to no picture: a caption has its picture's name"),
        };
        events.push(Event::warning(WarningCode::UnusedCaptions, text));
    }
    if args.config.masks != Some(Masks::Off) {
        events.extend(lost_masks(&found.masks));
    }
    let captions = captions(&found.pictures, args, events)?;
    let mut pictures = Vec::new();
    for (path, caption) in found.pictures.iter().zip(captions) {
        let bytes = read_picture(path)?;
        let mut picture = Picture::decode(&path.display().to_string(), &bytes)?;
        events.extend(picture.take_warning());
        let mask = read_mask(path, args, &mut picture, events)?;
        pictures.push(TrainPicture { picture, caption, mask });
    }
    Ok(pictures)
}

/// A warning about masks that belong to no picture.
fn lost_masks(names: &[String]) -> Option<Event> {
    let [first, rest @ ..] = names else { return None };
    let rule = "a mask is called like its picture (photo.mask.png beside photo.jpg)";
    let text = match rest.len() {
        0 => format!("the mask {first} belongs to no picture: {rule}"),
        more => format!("the mask {first} and {more} more belong to no picture: {rule}"),
    };
    Some(Event::warning(WarningCode::UnusedMasks, text))
}

/// The mask that was given with a picture, whose notes say so.
fn read_mask(
    path: &Path,
    args: &TrainArgs,
    picture: &mut Picture,
    events: &mut Vec<Event>,
) -> Result<Option<GrayImage>> {
    if args.config.masks == Some(Masks::Off) {
        return Ok(None);
    }
    let Some(file) = mask_for(path, args.mask_folder.as_deref())? else { return Ok(None) };
    let mut mask = Picture::decode(&file.display().to_string(), &read_picture(&file)?)?;
    events.extend(mask.take_warning());
    let Mask { pixels, note } = Mask::of(&mask, picture)?;
    if pixels.is_none() {
        let text = format!("the mask {} has no effect: it is white all over, so all of its picture counts", mask.name);
        events.push(Event::warning(WarningCode::NoEffect, text));
    }
    picture.notes.push(note);
    Ok(pixels)
}

/// Whether texts beside the pictures are wanted.
fn reads_files(args: &TrainArgs) -> bool {
    matches!(args.captions, Captions::Auto | Captions::On)
}

/// The bytes of a picture's file; what cannot be read is refused as a picture.
pub(in crate::cli) fn read_picture(path: &Path) -> Result<Vec<u8>> {
    files::read(path).map_err(|error| match error {
        ReadError::Unusable { path, reason } => Error::BadPicture { file: path.display().to_string(), reason },
        other => other.into(),
    })
}

/// The captions, one for each picture, if they are to be used.
fn captions(paths: &[PathBuf], args: &TrainArgs, events: &mut Vec<Event>) -> Result<Vec<Option<String>>> {
    let none = vec![None; paths.len()];
    if !reads_files(args) || paths.is_empty() {
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
        parse_caption(&caption.text, &args.config.tokens()).map(Some).map_err(bad)
    };
    found.into_iter().flatten().map(slotted).collect()
}
