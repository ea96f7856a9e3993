//! Pictures and captions in folders, and the bundled examples.

use std::fs;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use pseudoword::error::Error;
use pseudoword::image::Picture;
use pseudoword::image::find::{caption_for, find_pictures};

use crate::made::{busy, encode};

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
    assert_eq!(
        (found.skipped.pictures.len(), found.skipped.others.as_slice()),
        (0, &names_of(["IMG_1.heic", "notes.md"])[..])
    );
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

fn names_of<const N: usize>(names: [&str; N]) -> [String; N] {
    names.map(str::to_owned)
}

fn text(picture: &Path) -> Option<String> {
    caption_for(picture).unwrap().map(|caption| caption.text)
}

#[test]
fn in_folders_too_the_content_decides() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let png = encode(busy(16), ImageFormat::Png);
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    for name in ["IMG_0001.HEIC", "IMG_0002.HEIC"] {
        write(name, heic);
    }
    let place = [folder.path().to_owned()];
    let error = find_pictures(&place).unwrap_err().to_string();
    assert!(error.contains("(IMG_0001.HEIC and IMG_0002.HEIC cannot be read: this is a HEIC photo;"), "{error}");

    for name in ["zubi1", "a.JPE", "b.Mpo", "c.heic", "d.png~", "Thumbs.db", "desktop.ini"] {
        write(name, &png);
    }
    write("list.csv", b"a,b");
    write("empty", b"");
    let found = find_pictures(&place).unwrap();
    let names: Vec<_> = found.pictures.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.JPE", "b.Mpo", "c.heic", "zubi1"]);
    write("IMG_0003.HEIC", heic);
    write("old.gif", b"GIF89a..........");
    let sentences = find_pictures(&place).unwrap().skipped.sentences();
    let start = "IMG_0001.HEIC, IMG_0002.HEIC and 1 more cannot be read: this is a HEIC photo;";
    assert!(found.skipped.pictures.len() == 2 && sentences[0].starts_with(start), "{sentences:?}");
    assert_eq!(
        sentences[1..],
        [
            "old.gif cannot be read: this is a GIF; save the frame you want as PNG",
            "empty and list.csv are not pictures and were skipped"
        ]
    );
}

#[test]
fn what_a_folder_holds_beside_files_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let png = encode(busy(16), ImageFormat::Png);
    for name in ["10_zubi", "20_hat/deep", "notes", "a.png", "unseen", "run"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    for name in ["10_zubi/1.png", "20_hat/deep/1.png", "unseen/1.png", "run/loss.png", "run/settings.json"] {
        fs::write(at(name), &png).unwrap();
    }
    fs::write(at("notes/a.txt"), "").unwrap();
    let place = [folder.path().to_owned()];
    let folders = format!(
        "the folders {} and {} are not read: give them as well",
        at("10_zubi").display(),
        at("20_hat/deep").display()
    );
    let others = "a.png (a folder) is not a picture and was skipped";
    let error = find_pictures(&place).unwrap_err().to_string();
    assert!(error.contains(&format!("({folders}; {others})")), "{error}");

    fs::write(at("b.png"), &png).unwrap();
    assert_eq!(find_pictures(&place).unwrap().skipped.sentences(), [folders.as_str(), others]);
    let both = [folder.path().to_owned(), at("10_zubi"), at("20_hat/deep/.")];
    assert_eq!(find_pictures(&both).unwrap().skipped.sentences(), [others]);
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_and_pipes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.png"), encode(busy(16), ImageFormat::Png)).unwrap();
    std::os::unix::fs::symlink(at("gone.png"), at("b.png")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("c.png")).unwrap();
    let found = find_pictures(&[folder.path().to_owned()]).unwrap();
    assert_eq!(found.pictures, [at("a.png")]);
    assert_eq!(found.skipped.others, ["b.png (a link that leads nowhere)", "c.png (a pipe or a device)"]);
}

#[test]
fn captions_have_their_pictures_names_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (caption, picture) in [
        ("a.TXT", "a.png"),
        ("b.png.txt", "b.png"),
        ("C.txt", "c.JPG"),
        ("d.jpeg.Txt", "D.jpeg"),
        ("e.caption", "e.webp"),
        ("f", "f.png"),
    ] {
        fs::write(at(picture), "x").unwrap();
        fs::write(at(caption), format!("a {{}} by {caption}")).unwrap();
        let expected = (caption != "f").then(|| format!("a {{}} by {caption}"));
        assert_eq!(text(&at(picture)), expected, "{caption}");
    }
    fs::write(at("a.txt"), "a {} by a.TXT").unwrap();
    assert_eq!(text(&at("a.png")).unwrap(), "a {} by a.TXT", "the same twice is no question");
    fs::write(at("a.png.txt"), "another {}").unwrap();
    let error = caption_for(&at("a.png")).unwrap_err().to_string();
    assert!(error.contains("two captions") && error.contains("a.png.txt"), "{error}");
    fs::write(at("g.txt"), "lost").unwrap();
    for name in ["notes-zubi.txt", "prompt 1 .txt", "readme2go.txt"] {
        fs::write(at(name), "lost").unwrap();
    }
    for name in ["readme.txt", "README-de.txt", "LICENSE.MIT.txt", "notes.txt", "Prompts.txt"] {
        fs::write(at(name), "about").unwrap();
    }
    let found = find_pictures(&[folder.path().to_owned()]).unwrap();
    assert_eq!(found.captions, ["g.txt", "notes-zubi.txt", "prompt 1 .txt", "readme2go.txt"]);
}

#[test]
fn captions_are_found_in_any_normal_form_of_unicode() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (picture, caption) in [("zo\u{eb}.png", "ZOe\u{308}.txt"), ("e\u{301}te\u{301}.jpg", "\u{e9}t\u{e9}.jpg.txt")] {
        fs::write(at(picture), "x").unwrap();
        fs::write(at(caption), "a {}").unwrap();
        assert_eq!(text(&at(picture)).as_deref(), Some("a {}"), "{caption}");
    }
    assert!(find_pictures(&[folder.path().to_owned()]).unwrap().captions.is_empty());
}

#[test]
fn captions_in_other_encodings_are_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.png");
    let utf16: Vec<u8> = "a <zubi>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "a <zubi>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [vec![0xff, 0xfe], utf16.clone()].concat();
    for (bytes, wide) in [(utf16, true), (big, true), (marked, true), (b"caf\xe9 {}".to_vec(), false)] {
        fs::write(folder.path().join("a.txt"), bytes).unwrap();
        let error = caption_for(&picture).unwrap_err().to_string();
        assert!(
            error.contains("a.txt") && error.contains("not UTF-8 text") && error.contains("save it again as UTF-8")
        );
        assert_eq!(error.contains("UTF-16"), wide, "{error}");
    }
    for bytes in [&b"a <zubi> on a hill\0"[..], b"a <zu\0bi>", b"\0\0a <zubi> on a hill"] {
        fs::write(folder.path().join("a.txt"), bytes).unwrap();
        let error = caption_for(&picture).unwrap_err().to_string();
        assert!(error.contains("zero bytes") && !error.contains("UTF-16"), "{error}");
    }
}

#[test]
fn captions_lie_beside_their_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("cat.v2.png");
    let write = |bytes: &[u8]| fs::write(folder.path().join("cat.v2.txt"), bytes).unwrap();
    assert_eq!(caption_for(&picture).unwrap(), None);
    write("\u{feff} a {} in\r\nnoto  style \n".as_bytes());
    assert_eq!(text(&picture).as_deref(), Some("a {} in noto style"));
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
        ("taxi", 4),
        ("taxi/unseen", 5),
        ("high-contrast-style", 5),
        ("high-contrast-style/unseen", 4),
        ("noto-v1-style", 5),
        ("noto-v1-style/unseen", 4),
    ] {
        let found = find_pictures(&[examples.join(folder)]).unwrap();
        assert_eq!((found.pictures.len(), found.skipped.others.len()), (count, 0), "{folder}");
        for path in found.pictures {
            let picture = Picture::decode("example", &fs::read(&path).unwrap()).unwrap();
            assert_eq!((picture.pixels.dimensions(), picture.notes.len()), ((256, 256), 0), "{}", path.display());
            assert_eq!(text(&path).unwrap().matches("{}").count(), 1, "{}", path.display());
        }
    }
}
