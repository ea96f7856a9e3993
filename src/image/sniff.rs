//! What a file is, by its content and never by its extension, with advice for what is not a picture that we read.

use crate::formats;

/// A picture format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
}

/// Beginnings that name a format which is not read, with what to do about it.
const REFUSED: &[(&[u8], &str)] = &[
    (b"GIF8", "this is a GIF; save the frame you want as PNG"),
    (b"BM", "this is a BMP; save it as PNG"),
    (b"II*\0", "this is a TIFF or a camera raw file; export it as PNG or JPEG"),
    (b"MM\0*", "this is a TIFF or a camera raw file; export it as PNG or JPEG"),
    (b"II\x55\0", "this is a camera raw file; export it as JPEG"),
    (b"FUJIFILM", "this is a camera raw file; export it as JPEG"),
    (b"\xff\x0a", "this is a JPEG XL; export it as PNG or JPEG"),
    (b"\0\0\0\x0cJXL ", "this is a JPEG XL; export it as PNG or JPEG"),
    (b"\0\0\0\x0cjP  ", "this is a JPEG 2000; export it as PNG or JPEG"),
    (b"8BPS", "this is a Photoshop document; export it as PNG"),
    (b"gimp xcf", "this is a GIMP document; export it as PNG"),
    (b"\0\0\x01\0", "this is an icon file (ICO); export the largest size as PNG"),
    (b"qoif", "this is a QOI; export it as PNG"),
    (b"v/1\x01", "this is an OpenEXR; export it as PNG"),
    (b"%PDF", "this is a PDF; export the page or the picture as PNG"),
    (b"PK\x03\x04", "this is a zip archive or an office document; unpack it first"),
    (b"\x1f\x8b", "this is a gzip archive; unpack it first"),
    (b"7z\xbc\xaf", "this is a 7-Zip archive; unpack it first"),
    (b"Rar!", "this is a RAR archive; unpack it first"),
];

const KINDS: &str = "give a PNG, JPEG or WebP";

/// Names the format of `bytes`, or what they are instead and what to do about it.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, String> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"\xff\xd8") {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    Err(refusal(bytes))
}

/// What a file in another format is.
fn refusal(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty; copy or download it again".to_owned();
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return "the file holds nothing but zero bytes; copy or download it again".to_owned();
    }
    if let Some((_, advice)) = REFUSED.iter().find(|(start, _)| bytes.starts_with(start)) {
        return (*advice).to_owned();
    }
    if formats::is_lfs_pointer(bytes) {
        return "this is a Git LFS pointer and not the picture itself; run `git lfs pull` in that repository"
            .to_owned();
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return boxed(bytes.get(8..12).unwrap_or_default()).to_owned();
    }
    if bytes.starts_with(b"RIFF") {
        return format!("this is a sound or video file (RIFF); {KINDS}");
    }
    text(bytes).unwrap_or_else(|| {
        let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("not a picture in any format known here (it starts with {}); {KINDS}", start.join(" "))
    })
}

/// Names a file of the ISO base media family (ISO 14496-12) by its major brand.
fn boxed(brand: &[u8]) -> &'static str {
    match brand {
        b"avif" | b"avis" => "this is an AVIF; export it as PNG or JPEG",
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
            "this is a HEIC photo; export it as JPEG (on an iPhone: Settings > Camera > Formats > Most Compatible)"
        }
        b"crx " => "this is a camera raw file; export it as JPEG",
        _ => "this is a video; save the frame you want as PNG",
    }
}

/// Names text files; `None` if `bytes` are not text.
fn text(bytes: &[u8]) -> Option<String> {
    let mut head = &bytes[..bytes.len().min(2048)];
    if let Err(error) = std::str::from_utf8(head) {
        // A character cut in two by the 2048 does not mean that this is not text.
        if error.error_len().is_some() {
            return None;
        }
        head = &head[..error.valid_up_to()];
    }
    let text = std::str::from_utf8(head).ok()?.trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    Some(if text.contains("<svg") {
        "this is an SVG drawing; export it as PNG, 512 pixels or more a side".to_owned()
    } else if formats::is_web_page(bytes) {
        "this is a web page, perhaps an error or log-in page saved in place of the picture; download the picture again"
            .to_owned()
    } else {
        format!("this is a text file; {KINDS}")
    })
}
