//! The masks of pictures, by the names of their files.
//!
//! Beside `cat.png` these are `cat.mask.png` and `cat.png.mask.png`, or OneTrainer's `cat-masklabel.png`; in a folder of masks, as kohya's
//! trainers have it (`conditioning_data_dir`), files of the picture's own name. A mask may be in any format that pictures are read in.

use std::fs;
use std::path::{Path, PathBuf};

use super::{folder_of, is_litter, is_same, key, name_of, read};
use crate::error::{Error, Result};
use crate::formats::{Holds, can_hold};

/// How the name of a mask ends, before the ending of its format.
const MARKS: [&str; 2] = [".mask", "-masklabel"];

/// Whether a file is a mask, by its name.
pub fn is_mask(path: &Path) -> bool {
    masked(path).is_some()
}

/// What the name of a mask has of its picture's.
fn masked(path: &Path) -> Option<String> {
    let name = can_hold(&name_of(path), Holds::Picture).then(|| stem(path))?;
    let mut stems = MARKS.iter().filter_map(|mark| name.strip_suffix(mark));
    stems.next().filter(|stem| !stem.is_empty()).map(str::to_owned)
}

fn stem(path: &Path) -> String {
    key(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// Whether a name is a picture's, with or without its ending.
fn names(name: &str, picture: &Path) -> bool {
    name == stem(picture) || name == key(&name_of(picture))
}

/// Whether a file is a picture's mask, if it lies beside it.
pub(super) fn is_of(mask: &Path, picture: &Path) -> bool {
    masked(mask).is_some_and(|name| names(&name, picture))
}

/// Whether a file is a picture's mask, if it lies in a folder of masks.
fn is_of_in_folder(mask: &Path, picture: &Path) -> bool {
    can_hold(&name_of(mask), Holds::Picture) && (names(&stem(mask), picture) || is_of(mask, picture))
}

/// The files in a folder, none if it cannot be listed: a picture may be where nothing can be, such as a pipe.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    // Not the entry's own path: what is in no folder is named without one.
    let named = entries.map(|entry| if folder == Path::new(".") { entry.file_name().into() } else { entry.path() });
    let mut files: Vec<PathBuf> = named.filter(|path| !is_litter(&name_of(path)) && path.is_file()).collect();
    files.sort();
    files
}

/// The file of a picture's mask, beside it or in a folder of masks.
///
/// # Errors
/// [`Error::Usage`] if there are two.
pub fn mask_for(picture: &Path, folder: Option<&Path>) -> Result<Option<PathBuf>> {
    let mut found = files_in(folder_of(picture));
    found.retain(|file| is_of(file, picture));
    if let Some(folder) = folder {
        found.extend(files_in(folder).into_iter().filter(|file| is_of_in_folder(file, picture)));
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [one, other, ..] => Err(Error::Usage(format!(
            "{} has two masks, {} and {}: remove one",
            picture.display(),
            one.display(),
            other.display()
        ))),
    }
}

/// The names of the files in a folder of masks that belong to none of some pictures.
///
/// # Errors
/// [`Error::Read`] if it cannot be listed; [`Error::Usage`] if the pictures themselves are in it.
pub fn masks_without<'a>(folder: &Path, pictures: impl Iterator<Item = &'a Path> + Clone) -> Result<Vec<String>> {
    fs::read_dir(folder).map_err(read(folder))?;
    if let Some(picture) = pictures.clone().find(|picture| is_same(folder, folder_of(picture))) {
        let (folder, picture) = (folder.display(), picture.display());
        return Err(Error::Usage(format!(
            "the folder of masks, {folder}, has the picture {picture} in it: give masks a folder of their own"
        )));
    }
    let mut lost = files_in(folder);
    lost.retain(|file| !pictures.clone().any(|picture| is_of_in_folder(file, picture)));
    Ok(lost.iter().map(|file| name_of(file)).collect())
}
