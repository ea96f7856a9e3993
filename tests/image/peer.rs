//! Another decoder of pictures: Pillow, which is what diffusers reads pictures with.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::RgbaImage;

/// A Python that has Pillow. Without one the test fails: what is not compared is not known to be right.
fn python() -> PathBuf {
    let named = std::env::var_os("PYTHON").map(PathBuf::from);
    let has_pillow = |python: &PathBuf| {
        Command::new(python).args(["-c", "import PIL"]).output().is_ok_and(|output| output.status.success())
    };
    let candidates = named.into_iter().chain(["python3", "/usr/bin/python3", "python"].map(PathBuf::from));
    candidates.into_iter().find(has_pillow).expect(
        "these tests need a Python with Pillow: Debian's python3-pil, or `pip install pillow`; \
         PYTHON=/path/to/python says which",
    )
}

/// A file's name and bytes.
pub type File = (String, Vec<u8>);

/// What Pillow makes of the files, by their names, and the files that it wrote itself. What it refuses is not there.
pub fn decode(files: &[File]) -> (HashMap<String, RgbaImage>, Vec<File>) {
    let folder = tempfile::tempdir().unwrap();
    let inputs = folder.path().join("files");
    fs::create_dir(&inputs).unwrap();
    for (name, bytes) in files {
        fs::write(inputs.join(name), bytes).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/peer.py");
    let output = Command::new(python()).arg(script).arg("make").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let own = |(name, _): &File| !files.iter().any(|(given, _)| given == name);
    (
        all(&folder.path().join("decoded")).into_iter().map(|(name, bytes)| (name, picture(&bytes))).collect(),
        all(&inputs).into_iter().filter(own).collect(),
    )
}

fn all(folder: &Path) -> Vec<File> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

fn picture(bytes: &[u8]) -> RgbaImage {
    let side = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    RgbaImage::from_raw(side(0), side(4), bytes[8..].to_vec()).unwrap()
}
