//! Pictures in files and folders, in the order a person would list them, and the captions beside them.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::formats::{Holds, can_hold};

/// More pictures than anybody means to learn one word from.
const MOST: usize = 2000;
/// A caption is a sentence; what is longer is some other text.
const LONGEST_CAPTION: usize = 4096;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PictureFiles {
    /// The pictures: paths in the order given, a folder's files sorted by name, each file once.
    pub pictures: Vec<PathBuf>,
    /// Names of files in the folders that were left out because their extension is not that of a picture.
    pub skipped: Vec<String>,
}

/// Looks for pictures: `paths` are files, or folders whose own files are taken (not those of folders inside).
///
/// Hidden files and captions (`.txt`) in a folder are passed over silently.
///
/// # Errors
/// [`Error::Read`] for what is not there or cannot be listed, [`Error::NoPictures`] if there are none, [`Error::Usage`]
/// for more than 2000.
pub fn find_pictures(paths: &[PathBuf]) -> Result<PictureFiles> {
    let mut found = PictureFiles::default();
    let mut seen = std::collections::HashSet::new();
    for path in paths {
        let files = if fs::metadata(path).map_err(read(path))?.is_dir() {
            list(path, &mut found.skipped)?
        } else {
            vec![path.clone()]
        };
        for file in files {
            // The same file by two names would count twice in training.
            if seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                found.pictures.push(file);
            }
        }
    }
    if found.pictures.is_empty() {
        let mut place: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        if place.is_empty() {
            place.push("an empty list of paths".to_owned());
        }
        let skipped = match found.skipped.as_slice() {
            [] => String::new(),
            [one] => format!(" (only {one}, which is not a picture)"),
            [one, rest @ ..] => format!(" (only {one} and {} more, which are not pictures)", rest.len()),
        };
        return Err(Error::NoPictures { place: place.join(", ") + &skipped });
    }
    if found.pictures.len() > MOST {
        return Err(Error::Usage(format!("{} pictures are too many: give at most {MOST}", found.pictures.len())));
    }
    Ok(found)
}

/// The pictures in a folder, sorted; other files' names go to `skipped`.
fn list(folder: &Path, skipped: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).map_err(read(folder))? {
        let path = entry.map_err(read(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Follows links, so a link to a file counts and one to a folder, a pipe or nothing does not.
        if name.starts_with('.') || !fs::metadata(&path).is_ok_and(|about| about.is_file()) {
            continue;
        }
        // A folder's pictures are known by their endings; a file that is named itself may have any.
        if can_hold(&name, Holds::Picture) {
            pictures.push(path);
        } else if extension(&path) != "txt" {
            others.push(name);
        }
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    pictures.sort_by(|a, b| by_name(&name(a), &name(b)));
    others.sort_by(|a, b| by_name(a, b));
    skipped.extend(others);
    Ok(pictures)
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    |source| Error::Read { path: path.to_owned(), source }
}

/// Orders names as people do: letters without regard to case, digits by their number (`2.png` before `10.png`).
fn by_name(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(l), Some(r)) = (left.chars().next(), right.chars().next()) {
        let order = if l.is_ascii_digit() && r.is_ascii_digit() {
            let (number_l, number_r) = (take_number(&mut left), take_number(&mut right));
            // Without leading zeros, the longer number is the larger, however long.
            number_l.len().cmp(&number_r.len()).then(number_l.cmp(number_r))
        } else {
            (left, right) = (&left[l.len_utf8()..], &right[r.len_utf8()..]);
            l.to_lowercase().cmp(r.to_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    // Names that differ only in case or zeros still need one fixed order.
    left.len().cmp(&right.len()).then(a.cmp(b))
}

/// Cuts the digits from the start of a text and returns them without leading zeros.
fn take_number<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

/// The caption in the `.txt` file of the same name beside a picture, its lines joined; `None` without one or if it is
/// empty.
///
/// # Errors
/// [`Error::Read`] if it is there but cannot be read, [`Error::BadFile`] if it is not a caption.
pub fn caption_for(picture: &Path) -> Result<Option<String>> {
    let path = picture.with_extension("txt");
    let about = match fs::metadata(&path) {
        Ok(about) if about.is_file() && path != picture => about,
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(read(&path)(error)),
        _ => return Ok(None),
    };
    let bad = |reason: &str| Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() };
    if about.len() > LONGEST_CAPTION as u64 {
        return Err(bad("this is too long for a caption (more than 4096 bytes); shorten, move or rename it"));
    }
    let bytes = fs::read(&path).map_err(read(&path))?;
    let text = str::from_utf8(&bytes).map_err(|_| bad("the caption is not UTF-8 text; save it again as UTF-8"))?;
    let words: Vec<&str> = text.trim_start_matches('\u{feff}').split_whitespace().collect();
    Ok((!words.is_empty()).then(|| words.join(" ")))
}
