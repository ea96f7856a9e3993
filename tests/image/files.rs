//! Pictures and captions in folders, and the bundled examples.

use std::fs;
use std::path::PathBuf;

use pseudoword::error::Error;
use pseudoword::image::Picture;
use pseudoword::image::find::{caption_for, find_pictures};

#[test]
fn folders_are_searched_as_a_person_would() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["b10.png", "B2.JPG", "a.webp", "b2.txt", ".hidden.png", "notes.md", "IMG_1.heic", "b010.jpeg"] {
        fs::write(at(name), "x").unwrap();
    }
    fs::create_dir(at("unseen")).unwrap();
    fs::write(at("unseen/c.png"), "x").unwrap();
    let names = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };

    let found = find_pictures(&[folder.path().to_owned()]).unwrap();
    assert_eq!(names(&found.pictures), ["a.webp", "B2.JPG", "b010.jpeg", "b10.png"]);
    assert_eq!(found.skipped, ["IMG_1.heic", "notes.md"]);
    // A named file comes first, counts once, and may have any extension.
    let found = find_pictures(&[at("notes.md"), at("b10.png"), folder.path().to_owned(), at("a.webp")]).unwrap();
    assert_eq!(names(&found.pictures), ["notes.md", "b10.png", "a.webp", "B2.JPG", "b010.jpeg"]);

    let gone = at("gone.png");
    assert!(matches!(find_pictures(std::slice::from_ref(&gone)), Err(Error::Read { path, .. }) if path == gone));
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("one.heic"), "x").unwrap();
    let error = find_pictures(&[empty.path().to_owned()]).unwrap_err();
    assert!(matches!(&error, Error::NoPictures { place } if place.contains("one.heic")), "{error}");
    assert!(matches!(find_pictures(&[]), Err(Error::NoPictures { .. })));
}

#[test]
fn captions_lie_beside_their_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("cat.v2.png");
    let write = |bytes: &[u8]| fs::write(folder.path().join("cat.v2.txt"), bytes).unwrap();
    assert_eq!(caption_for(&picture).unwrap(), None);
    write("\u{feff} a {} in\r\nnoto  style \n".as_bytes());
    assert_eq!(caption_for(&picture).unwrap().as_deref(), Some("a {} in noto style"));
    write(b" \n");
    assert_eq!(caption_for(&picture).unwrap(), None);
    for bytes in [&b"caf\xe9"[..], &[b'a'; 5000]] {
        write(bytes);
        assert!(matches!(caption_for(&picture), Err(Error::BadFile { .. })));
    }
}

#[test]
fn the_examples_are_what_their_readme_says() {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (folder, count) in [
        ("peach", 4),
        ("peach/unseen", 5),
        ("tangerine", 4),
        ("tangerine/unseen", 5),
        ("fox", 4),
        ("fox/unseen", 5),
        ("high-contrast-style", 5),
        ("high-contrast-style/unseen", 4),
        ("noto-v1-style", 5),
        ("noto-v1-style/unseen", 4),
    ] {
        let found = find_pictures(&[examples.join(folder)]).unwrap();
        assert_eq!((found.pictures.len(), found.skipped.len()), (count, 0), "{folder}");
        for path in found.pictures {
            let picture = Picture::decode("example", &fs::read(&path).unwrap()).unwrap();
            assert_eq!((picture.pixels.dimensions(), picture.notes.len()), ((256, 256), 0), "{}", path.display());
            assert_eq!(caption_for(&path).unwrap().unwrap().matches("{}").count(), 1, "{}", path.display());
        }
    }
}
