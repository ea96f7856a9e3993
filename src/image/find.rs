//! Pictures in files and folders, in the order a person would list them, and the captions beside them.

mod masks;

use std::cmp::Ordering;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

pub use self::masks::{is_mask, mask_for, masks_without};
use super::sniff::sniff;
use crate::error::{Error, Result};
use crate::formats::{Holds, can_hold};

/// More pictures than anybody means to learn one word from.
const MOST: usize = 2000;
/// Entries of folders inside a folder that are looked at.
const MOST_ENTRIES: usize = 10_000;
/// What the folder of pictures that are kept for comparison is called in the examples: nobody forgot it.
const UNSEEN: &str = "unseen";
/// A file that each run leaves in its folder.
const SETTINGS: &str = "settings.json";
/// A caption is a sentence; what is longer is some other text.
const LONGEST_CAPTION: usize = 4096;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PictureFiles {
    /// The pictures: paths in the order given, a folder's files sorted by name, each file once.
    pub pictures: Vec<PathBuf>,
    /// Files in the folders that were left out.
    pub skipped: Skipped,
    /// Captions in the folders that belong to no picture there.
    pub captions: Vec<String>,
    /// Masks that belong to no picture.
    pub masks: Vec<String>,
}

/// What was left out of folders, by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Pictures in formats that are not read, each with what to do about it.
    pub pictures: Vec<(String, String)>,
    /// Folders inside that hold pictures and were not given themselves.
    pub folders: Vec<PathBuf>,
    /// All others.
    pub others: Vec<String>,
}

impl Skipped {
    /// What was left out, in one sentence for each kind of picture, one for folders and one for others.
    pub fn sentences(&self) -> Vec<String> {
        let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, advice) in &self.pictures {
            match kinds.iter_mut().find(|(known, _)| known == advice) {
                Some((_, names)) => names.push(name),
                None => kinds.push((advice, vec![name])),
            }
        }
        let mut sentences: Vec<String> =
            kinds.into_iter().map(|(advice, names)| format!("{} cannot be read: {advice}", some_of(&names))).collect();
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        match folders.as_slice() {
            [] => {}
            [one] => sentences.push(format!("the folder {one} is not read: give it as well")),
            more => sentences.push(format!("the folders {} are not read: give them as well", some_of(more))),
        }
        match self.others.as_slice() {
            [] => {}
            [one] => sentences.push(format!("{one} is not a picture and was skipped")),
            more => sentences.push(format!("{} are not pictures and were skipped", some_of(more))),
        }
        sentences
    }
}

/// The first two of some names, and how many there are beside them.
fn some_of(names: &[impl AsRef<str>]) -> String {
    match names {
        [one] => one.as_ref().to_owned(),
        [one, two] => format!("{} and {}", one.as_ref(), two.as_ref()),
        [one, two, rest @ ..] => format!("{}, {} and {} more", one.as_ref(), two.as_ref(), rest.len()),
        [] => String::new(),
    }
}

/// Looks for pictures: `paths` are files, or folders whose own files are taken (folders inside are only named).
///
/// In a folder the content decides, as it does for a file given by itself, except that what has a picture's ending is
/// taken for one. Masks are none, by their names. Hidden files, captions and what systems and editors leave (`Thumbs.db`, `cat.png~`) are passed over.
///
/// # Errors
/// [`Error::Read`] for what is not there or cannot be listed, [`Error::NoPictures`] if there are none, [`Error::Usage`]
/// for more than 2000.
pub fn find_pictures(paths: &[PathBuf]) -> Result<PictureFiles> {
    let mut found = PictureFiles::default();
    let mut seen = std::collections::HashSet::new();
    let mut masks = Vec::new();
    for path in paths {
        let files =
            if fs::metadata(path).map_err(read(path))?.is_dir() { list(path, &mut found)? } else { vec![path.clone()] };
        for file in files {
            if is_mask(&file) {
                masks.push(file);
                continue;
            }
            // The same file by two names would count twice in training.
            if seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                found.pictures.push(file);
            }
        }
    }
    masks.retain(|mask| !found.pictures.iter().any(|picture| is_beside(mask, picture) && masks::is_of(mask, picture)));
    found.masks.extend(masks.iter().map(|mask| name_of(mask)));
    let given = |folder: &Path| paths.iter().any(|path| is_same(path, folder));
    found.skipped.folders.retain(|folder| !given(folder));
    if found.pictures.is_empty() {
        let mut place: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        if place.is_empty() {
            place.push("an empty list of paths".to_owned());
        }
        let mut skipped = found.skipped.sentences();
        skipped.extend(found.masks.first().map(|mask| format!("{mask} is a mask, by its name")));
        let skipped = if skipped.is_empty() { String::new() } else { format!(" ({})", skipped.join("; ")) };
        return Err(Error::NoPictures { place: place.join(", ") + &skipped });
    }
    if found.pictures.len() > MOST {
        return Err(Error::Usage(format!("{} pictures are too many: give at most {MOST}", found.pictures.len())));
    }
    Ok(found)
}

/// The pictures in a folder, sorted; other files' names go to `found`.
fn list(folder: &Path, found: &mut PictureFiles) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read(folder))? {
        let path = entry.map_err(read(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_litter(&name) {
            continue;
        }
        // Follows links.
        match fs::metadata(&path) {
            Ok(about) if about.is_file() => names.push((name, path)),
            Ok(about) if !about.is_dir() => found.skipped.others.push(format!("{name} (a pipe or a device)")),
            Ok(_) => {
                let before = found.skipped.folders.len();
                with_pictures(&path, 3, &mut { MOST_ENTRIES }, &mut found.skipped.folders);
                if found.skipped.folders.len() == before && can_hold(&name, Holds::Picture) {
                    found.skipped.others.push(format!("{name} (a folder)"));
                }
            }
            Err(_) if path.is_symlink() => found.skipped.others.push(format!("{name} (a link that leads nowhere)")),
            Err(_) => found.skipped.others.push(format!("{name} (gone, or not to be looked at)")),
        }
    }
    found.skipped.folders.sort_by(|a, b| by_name(&a.to_string_lossy(), &b.to_string_lossy()));
    found.skipped.others.sort_by(|a, b| by_name(a, b));
    names.sort_by(|(a, _), (b, _)| by_name(a, b));
    let (captions, files): (Vec<_>, Vec<_>) = names.into_iter().partition(|(_, path)| is_caption(path));
    let mut pictures = Vec::new();
    for (name, path) in files {
        if can_hold(&name, Holds::Picture) {
            pictures.push(path);
            continue;
        }
        match sniff(&head(&path)) {
            Ok(_) => pictures.push(path),
            Err(refused) if refused.picture => found.skipped.pictures.push((name, refused.advice)),
            Err(_) => found.skipped.others.push(name),
        }
    }
    let belongs = |caption: &Path| pictures.iter().any(|picture| belongs(caption, picture));
    let lost = captions.into_iter().filter(|(name, path)| !belongs(path) && !is_about(name));
    found.captions.extend(lost.map(|(name, _)| name));
    Ok(pictures)
}

/// The folders that hold pictures: this one, and those inside it, so many deep, as far as the names of the first `left`
/// entries say. What an earlier run has drawn is nothing to learn from.
fn with_pictures(folder: &Path, depth: usize, left: &mut usize, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let entries: Vec<PathBuf> = entries.take(*left).collect();
    *left -= entries.len();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.into_iter().filter(|path| !is_litter(&name(path))).partition(|path| path.is_dir());
    if name(folder) == UNSEEN || files.iter().any(|path| name(path) == SETTINGS) {
        return;
    }
    if files.iter().any(|path| can_hold(&name(path), Holds::Picture)) {
        found.push(folder.to_owned());
    }
    for inside in folders.iter().filter(|_| depth > 1) {
        with_pictures(inside, depth - 1, left, found);
    }
}

/// Whether two paths lead to the same place.
pub fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// What is in a folder without anybody having put it there.
fn is_litter(name: &str) -> bool {
    let name = name.to_lowercase();
    let endings = [".bak", ".tmp", ".part", ".crdownload", ".swp", "~"];
    name.starts_with('.')
        || ["desktop.ini", "thumbs.db"].contains(&name.as_str())
        || endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether a text is about the folder, or a list for a program. Beside one of these names, a language or a version may
/// stand, but a name that only begins like one is some picture's.
fn is_about(name: &str) -> bool {
    let name = name.to_lowercase();
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    let first = stem.split(['.', '-', '_', ' ']).next().unwrap_or_default();
    ["readme", "license", "licence", "copying"].contains(&first)
        || ["credits", "notes", "about", "prompt", "prompts", "changelog", "authors", "sources"].contains(&stem)
}

/// The first bytes of a file, enough to know what it is; none if they cannot be read.
fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    let file = fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    if file.is_err() {
        head.clear();
    }
    head
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

/// A picture's caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The file that it is in.
    pub file: PathBuf,
    /// Its lines, joined.
    pub text: String,
}

/// The name of a file, for people.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether two files are in one folder.
fn is_beside(one: &Path, other: &Path) -> bool {
    is_same(folder_of(one), folder_of(other))
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Endings of captions.
const CAPTIONS: [&str; 2] = ["txt", "caption"];

fn is_caption(path: &Path) -> bool {
    CAPTIONS.contains(&extension(path).as_str())
}

/// What is the same of all spellings of a file's name: systems differ in case, and some take accents apart.
fn key(name: &str) -> String {
    let apart: String = name.nfd().collect();
    apart.to_lowercase().nfd().collect()
}

/// Whether this may be the caption of a picture: it has the picture's name, with or without its ending, in any case and in
/// any normal form of Unicode.
fn belongs(caption: &Path, picture: &Path) -> bool {
    let name = |part: Option<&std::ffi::OsStr>| key(&part.unwrap_or_default().to_string_lossy());
    let stem = name(caption.file_stem());
    is_caption(caption) && (stem == name(picture.file_stem()) || stem == name(picture.file_name()))
}

/// The caption of a picture, in a file of its name beside it: of `cat.png`, `cat.txt` or `cat.png.txt` (or `.caption`, as
/// some trainers write it), in upper or lower case. `None` without one or if it is empty.
///
/// # Errors
/// [`Error::Read`] if it is there but cannot be read, [`Error::BadFile`] if it is not a caption, [`Error::Usage`] if there
/// are two with different texts.
pub fn caption_for(picture: &Path) -> Result<Option<Caption>> {
    let folder = folder_of(picture);
    let mut files = Vec::new();
    // A picture may be where nothing can be listed, such as a pipe.
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = folder.join(entry.map_err(read(folder))?.file_name());
        if belongs(&path, picture) && path != picture && fs::metadata(&path).is_ok_and(|about| about.is_file()) {
            files.push(path);
        }
    }
    files.sort();
    let mut found: Option<Caption> = None;
    for file in files {
        let Some(text) = read_caption(&file)? else { continue };
        match &found {
            Some(other) if other.text != text => {
                let (one, two) = (other.file.display(), file.display());
                return Err(Error::Usage(format!(
                    "{} has two captions, {one} and {two}: remove one",
                    picture.display()
                )));
            }
            Some(_) => {}
            None => found = Some(Caption { file, text }),
        }
    }
    Ok(found)
}

/// The text of a caption's file, `None` if it is empty.
fn read_caption(path: &Path) -> Result<Option<String>> {
    let bad = |reason: &str| Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() };
    if fs::metadata(path).map_err(read(path))?.len() > LONGEST_CAPTION as u64 {
        return Err(bad("this is too long for a caption (more than 4096 bytes); shorten, move or rename it"));
    }
    let bytes = fs::read(path).map_err(read(path))?;
    if is_utf16(&bytes) {
        return Err(bad("the caption is not UTF-8 text, but probably UTF-16; save it again as UTF-8"));
    }
    if bytes.contains(&0) {
        return Err(bad("the caption has zero bytes in it, as no text has; write it again, as UTF-8 text"));
    }
    let text = str::from_utf8(&bytes).map_err(|_| bad("the caption is not UTF-8 text; save it again as UTF-8"))?;
    let words: Vec<&str> = text.trim_start_matches('\u{feff}').split_whitespace().collect();
    Ok((!words.is_empty()).then(|| words.join(" ")))
}

/// Whether a text is UTF-16: by its mark, or because most of its letters are Latin, of which every second byte is zero.
fn is_utf16(bytes: &[u8]) -> bool {
    let zeros = |first: usize| bytes.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let marked = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    marked || (bytes.len() >= 2 && zeros(0).max(zeros(1)) > bytes.len() / 4)
}
