//! Files that are whole or not there: written beside their place, synced, then renamed into it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::failpoints;

/// Larger files than this are not embeddings, replays or latents of ours.
const LONGEST: u64 = 512 << 20;

/// A file or folder cannot be written. The errors of the modules above are made of it, each with its own advice.
#[derive(Debug)]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's words.
    pub source: io::Error,
}

/// A file cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The system refuses.
    Failed {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It cannot be what it should be.
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

type Written = Result<(), WriteError>;

/// Writes a file that appears under its name only when it is complete and on the disk; what was there before survives
/// any failure. Its folder must exist.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Written {
    write_and_keep(path, bytes, None)
}

/// As [`write_whole`]; makes the file's folder, too.
pub fn write_with_folder(path: &Path, bytes: &[u8]) -> Written {
    make_folder(folder_of(path))?;
    write_whole(path, bytes)
}

/// As [`write_whole`]; what was there before gets the name `previous`.
pub fn write_and_keep(path: &Path, bytes: &[u8], previous: Option<&Path>) -> Written {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let pass = |stage: &str| failpoints::pass_file(&name, stage);
    pass("create").map_err(failed)?;
    let (mut file, scratch) = scratch(path).map_err(failed)?;
    let mut write = || {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        pass("half")?;
        file.write_all(second)?;
        pass("sync")?;
        file.sync_all()?;
        pass("keep")?;
        if let Some(previous) = previous {
            // Between the two names that follow only the older file is there: it is whole.
            match fs::rename(path, previous) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        pass("rename")?;
        fs::rename(&scratch, path)?;
        pass("folder")
    };
    if let Err(error) = write() {
        // The error matters, the leftover does not.
        let _removed = fs::remove_file(&scratch);
        return Err(failed(error));
    }
    sync_folder(folder_of(path)).map_err(failed)
}

/// Writes a file that can be made again: nothing waits for the disk, and where the program dies the file is cut short.
pub fn write_disposable(path: &Path, bytes: &[u8]) -> Written {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let write = || {
        let mut file = File::create(path)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        failpoints::pass_file(&name, "half")?;
        file.write_all(second)
    };
    write().map_err(|source| WriteError { path: path.to_owned(), source })
}

/// Syncs a folder's new names to the disk: they are part of the folder's data, which is written separately.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows cannot open folders.
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems have no such thing, and some folders can be written but not read. The files are safe
        // already.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidInput | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Removes from a folder what programs left that died while they wrote. The caller must be alone there.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name.ends_with(".tmp") {
            // A leftover costs a little room, no more.
            let _removed = fs::remove_file(entry.path());
        }
    }
}

/// A new file beside `path`, under a name that is not in use.
fn scratch(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0;
    loop {
        let scratch = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&scratch) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 100 => number += 1,
            opened => return opened.map(|file| (file, scratch)),
        }
    }
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The nearest folder that exists, of one and those that it is in.
///
/// # Errors
/// A file that is in the place of a folder. The error names the folder that was asked about.
pub fn existing(folder: &Path) -> Result<&Path, WriteError> {
    let failed = |source| WriteError { path: folder.to_owned(), source };
    let exists = |path: &Path| match fs::metadata(path) {
        Ok(about) if about.is_dir() => Ok(true),
        Ok(_) => Err(io::Error::new(ErrorKind::NotADirectory, format!("{} is a file, not a folder", path.display()))),
        // The second kind: something above it is a file, which the next round finds.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    };
    let mut place = folder;
    while !exists(place).map_err(failed)? {
        place = folder_of(place);
    }
    Ok(place)
}

/// Finds out whether a folder can be written to, or made where there is none, and leaves no trace.
///
/// # Errors
/// The error names the folder that was asked about.
pub fn check_writable(folder: &Path) -> Written {
    let failed = |source| WriteError { path: folder.to_owned(), source };
    let place = existing(folder)?;
    let (mut file, scratch) = scratch(&place.join("probe")).map_err(failed)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    drop(file);
    fs::remove_file(&scratch).and(written).map_err(failed)
}

/// Makes a folder and those above it.
pub fn make_folder(path: &Path) -> Written {
    fs::create_dir_all(path).map_err(|source| WriteError { path: path.to_owned(), source })
}

/// Removes a file that may not be there.
pub fn remove(path: &Path) -> Written {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(WriteError { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Reads a file of an expected size: an embedding, a list of sentences, random numbers.
pub fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::Failed { path: path.to_owned(), source };
    let unusable = |reason: String| Err(ReadError::Unusable { path: path.to_owned(), reason });
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return unusable("this is not a file".to_owned());
    }
    if about.len() > LONGEST {
        return unusable(format!("{} bytes are far too many for what it should hold", about.len()));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(failed)?.take(LONGEST);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads a text file.
pub fn read_text(path: &Path) -> Result<String, ReadError> {
    let unusable = |_| ReadError::Unusable { path: path.to_owned(), reason: "it is not UTF-8 text".to_owned() };
    String::from_utf8(read(path)?).map_err(unusable)
}

/// `out.png` as `out-3.png`.
pub fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}-{number}{}", extension.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("word");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let inside = path.join("inside");
        assert_eq!(write_whole(&inside, b"x").unwrap_err().path, inside);
        assert_eq!(fs::read(&path).unwrap(), b"second");
    }

    #[test]
    fn asking_whether_a_folder_can_be_written_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join("file"), "").unwrap();
        let error = check_writable(&folder.path().join("file/b")).unwrap_err();
        assert_eq!(error.path, folder.path().join("file/b"));
    }

    #[test]
    fn files_are_numbered() {
        assert_eq!(numbered(Path::new("a/out.png"), 2), Path::new("a/out-2.png"));
    }
}
