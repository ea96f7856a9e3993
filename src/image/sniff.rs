//! What a file is, by its content and never by its extension, with advice for what is not a picture that we read.

use crate::formats;

/// A picture format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
}

/// What a file is that is not read.
#[derive(Debug)]
pub(super) struct Refused {
    /// Whether it is a picture, or a video, which somebody may have meant to be learned from.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "folders are only read natively"))]
    pub picture: bool,
    /// What it is and what to do about it.
    pub advice: String,
}

/// Beginnings that name a format of pictures which is not read, with what to do about it.
const PICTURES: &[(&[u8], &str)] = &[
    (b"GIF8", "this is a GIF; save the frame you want as PNG"),
    (b"BM", "this is a BMP; save it as PNG"),
    (b"II*\0", "this is a TIFF or a camera raw file; export it as PNG or JPEG"),
    (b"MM\0*", "this is a TIFF or a camera raw file; export it as PNG or JPEG"),
    (b"II+\0", "this is a large TIFF; export it as PNG or JPEG"),
    (b"MM\0+", "this is a large TIFF; export it as PNG or JPEG"),
    (b"II\x55\0", "this is a camera raw file; export it as JPEG"),
    (b"FUJIFILM", "this is a camera raw file; export it as JPEG"),
    (b"FOVb", "this is a camera raw file; export it as JPEG"),
    (b"\xff\x0a", "this is a JPEG XL; export it as PNG or JPEG"),
    (b"\0\0\0\x0cJXL ", "this is a JPEG XL; export it as PNG or JPEG"),
    (b"\0\0\0\x0cjP  ", "this is a JPEG 2000; export it as PNG or JPEG"),
    (b"\xff\x4f\xff\x51", "this is a JPEG 2000; export it as PNG or JPEG"),
    (b"8BPS", "this is a Photoshop document; export it as PNG"),
    (b"gimp xcf", "this is a GIMP document; export it as PNG"),
    (b"\0\0\x01\0", "this is an icon file (ICO); export the largest size as PNG"),
    (b"qoif", "this is a QOI; export it as PNG"),
    (b"v/1\x01", "this is an OpenEXR; export it as PNG"),
    (b"#?RADIANCE", "this is a Radiance picture (HDR); export it as PNG"),
    (b"DDS ", "this is a DDS texture; export it as PNG"),
];

/// The same for what holds other things.
const OTHERS: &[(&[u8], &str)] = &[
    (b"%PDF", "this is a PDF; export the page or the picture as PNG"),
    (b"PK\x03\x04", "this is a zip archive or an office document; unpack it first"),
    (b"\x1f\x8b", "this is a gzip archive; unpack it first"),
    (b"7z\xbc\xaf", "this is a 7-Zip archive; unpack it first"),
    (b"Rar!", "this is a RAR archive; unpack it first"),
];

/// Beginnings of pictures that a transfer has changed, because it took them for text, and how.
const CHANGED: &[(&[u8], &str)] = &[
    (b"\x89PNG\n\x1a\n", "a PNG that was sent as text, which changed its line ends"),
    (b"\x89PNG\r\r\n", "a PNG that was sent as text, which changed its line ends"),
    (b"\x89PNG\n", "a PNG that was sent as text, which changed its line ends"),
    (b"\x89PNG\r", "a PNG that was sent as text, which changed its line ends"),
    (b"\x09PNG", "a PNG that was sent as text, which cut off a bit of each byte"),
    (b"\xc2\x89PNG", "a PNG that was saved as text in UTF-8"),
    (b"\xef\xbf\xbdPNG", "a PNG that was saved as text in UTF-8"),
    (b"\xc3\xbf\xc3\x98\xc3\xbf", "a JPEG that was saved as text in UTF-8"),
    (b"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "a picture that was saved as text in UTF-8"),
];

const KINDS: &str = "give a PNG, JPEG or WebP";

/// Names the format of `bytes`, or what they are instead and what to do about it.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, Refused> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"\xff\xd8") {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    let listed = |table: &[(&[u8], &str)]| {
        table.iter().find(|(start, _)| bytes.starts_with(start)).map(|&(_, text)| text.to_owned())
    };
    let changed =
        |how: String| format!("the file is damaged: it is {how}; send or download it again, as a file of bytes");
    let picture = listed(PICTURES).or_else(|| listed(CHANGED).map(changed)).or_else(|| boxed(bytes).map(str::to_owned));
    Err(match picture {
        Some(advice) => Refused { picture: true, advice },
        None => Refused { picture: false, advice: listed(OTHERS).unwrap_or_else(|| other(bytes)) },
    })
}

/// What a file is that is not a picture.
fn other(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty; copy or download it again".to_owned();
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return "the file holds nothing but zero bytes; copy or download it again".to_owned();
    }
    if formats::is_lfs_pointer(bytes) {
        return "this is a Git LFS pointer and not the picture itself; run `git lfs pull` in that repository"
            .to_owned();
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
fn boxed(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) != Some(b"ftyp") {
        return None;
    }
    Some(match bytes.get(8..12).unwrap_or_default() {
        b"avif" | b"avis" => "this is an AVIF; export it as PNG or JPEG",
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
            "this is a HEIC photo; export it as JPEG (on an iPhone: Settings > Camera > Formats > Most Compatible)"
        }
        b"crx " => "this is a camera raw file; export it as JPEG",
        _ => "this is a video; save the frame you want as PNG",
    })
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
