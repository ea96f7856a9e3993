//! What a word is learned from: pictures and captions, read and checked before a model is loaded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::base::bytes::sha256;
use crate::base::files::{self, ReadError};
use crate::cli::args::{Captions, TrainArgs};
use crate::cli::embeddings;
use crate::config::Init;
use crate::event::Event;
use crate::formats::{Holds, can_hold};
use crate::image::Picture;
use crate::image::find::{caption_for, find_pictures};
use crate::train::templates::{parse_template, parse_template_file};
use crate::train::{Replay, TrainInput, TrainPicture};
use crate::{Error, Result};

/// Fewer pictures than this rarely tell what belongs to the thing and what to the picture.
const FEW: usize = 3;

/// What was read, and what the user should know about it.
pub(super) struct Gathered {
    pub input: TrainInput,
    pub events: Vec<Event>,
}

/// Reads everything that `train` was given; `side` is what the model trains at.
pub(super) fn gather(args: &TrainArgs, side: u32) -> Result<Gathered> {
    let mut events = Vec::new();
    let templates = match &args.template {
        Some(path) => Some(parse_template_file(&files::read_text(path)?, &path.display().to_string())?),
        None => None,
    };
    let replay = match &args.replay {
        Some(path) => Some(Replay::read(&files::read(path)?, &path.display().to_string())?),
        None => None,
    };
    let init = match &args.config.init {
        Some(init) if names_a_file(init) => Some(Init::Embedding(embeddings::read_file(Path::new(init))?)),
        _ => None,
    };
    let pictures = read_pictures(&args.pictures, args, &mut events)?;
    let unseen = read_pictures(&args.unseen, args, &mut events)?;
    // What is to be said of both sets is the same sentence.
    events.dedup();
    events.extend(concerns(&pictures, side));
    let input = TrainInput { pictures, unseen, templates, init, replay, record: args.record.is_some() };
    Ok(Gathered { input, events })
}

/// Pictures in files and folders, each with its caption if captions are to be used.
fn read_pictures(places: &[PathBuf], args: &TrainArgs, events: &mut Vec<Event>) -> Result<Vec<TrainPicture>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let found = find_pictures(places)?;
    if let [first, ..] = found.skipped.as_slice() {
        let count = found.skipped.len();
        let text = format!("{count} files in the folders are no pictures and were left out, such as {first}");
        events.push(Event::warning("skipped-files", text));
    }
    let captions = captions(&found.pictures, args, events)?;
    let mut pictures = Vec::new();
    let mut seen: HashMap<String, &Path> = HashMap::new();
    for (path, caption) in found.pictures.iter().zip(captions) {
        let bytes = read_picture(path)?;
        if let Some(other) = seen.insert(sha256(&bytes), path) {
            let text = format!("{} and {} are the same picture, which counts twice", other.display(), path.display());
            events.push(Event::warning("same-picture", text));
        }
        pictures.push(TrainPicture {
            picture: Picture::decode(&path.display().to_string(), &bytes)?,
            caption,
            weights: None,
        });
    }
    Ok(pictures)
}

/// Whether an initialiser is an embedding file rather than a phrase.
pub(in crate::cli) fn names_a_file(init: &str) -> bool {
    can_hold(init, Holds::Embedding) || Path::new(init).is_file()
}

/// The bytes of a picture's file. Whatever cannot be a picture is refused in a picture's terms.
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
                "{} has no caption: write it to {}, or leave out --captions on",
                without.display(),
                wanted.display()
            );
            return Err(Error::Usage(text));
        }
        if with > 0 {
            let text = format!("captions are beside {with} of {} pictures only, so none is used", paths.len());
            events.push(Event::warning("some-captions", text));
        }
        return Ok(none);
    }
    if args.captions == Captions::Auto {
        let instead = if args.template.is_some() { "those of --template" } else { "the built-in sentences" };
        let text = format!("the captions beside the pictures are used instead of {instead} (--captions off: do not)");
        events.push(Event::warning("captions", text));
    }
    let slotted = |(path, caption): (&PathBuf, Option<String>)| {
        let caption = caption.unwrap_or_default().replace(&args.config.token, "{}");
        let bad = |reason: String| Error::BadFile {
            file: path.with_extension("txt").display().to_string(),
            reason: format!("{reason}; correct it, or give --captions off"),
        };
        parse_template(&caption).map(Some).map_err(bad)
    };
    paths.iter().zip(found).map(slotted).collect()
}

/// What is likely to disappoint, although it works.
fn concerns(pictures: &[TrainPicture], side: u32) -> Vec<Event> {
    let mut events = Vec::new();
    if (1..FEW).contains(&pictures.len()) {
        let what = if pictures.len() == 1 { "1 picture is" } else { "2 pictures are" };
        let text = format!("{what} few: with 3 to 5 different ones the word learns the thing rather than the picture");
        events.push(Event::warning("few-pictures", text));
    }
    let short = |picture: &TrainPicture| picture.picture.pixels.width().min(picture.picture.pixels.height());
    let small: Vec<&TrainPicture> = pictures.iter().filter(|picture| short(picture) < side).collect();
    if let [first, ..] = small.as_slice() {
        let (name, size) = (&first.picture.name, short(first));
        let text = match small.len() {
            1 => format!("{name} is only {size} pixels wide or high, the model sees {side}: detail will be missing"),
            count => {
                format!("{count} pictures are smaller than the {side} pixels the model sees, such as {name} ({size})")
            }
        };
        events.push(Event::warning("small-pictures", text));
    }
    events
}
