//! JPEG files (ITU T.81). They are decoded by `jpeg-decoder`; before that, all of their data is read once, as strictly as
//! the standard allows, because no decoder says how much of a picture it had to guess.
//!
//! What makes no sense is damage: a word that is in no table, a coefficient behind a block's last, a level that no picture
//! has, too few blocks or too many. Damage that makes sense is rarer: the codes fall into step again, and all that is lost
//! are a few blocks and the level of those that follow. [`seam`] looks for that in the picture.

mod frame;
mod huffman;
mod scan;
mod seam;
mod segments;

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{ColorTransform, Decoder, Error, PixelFormat};

pub(super) use segments::{Broken, SCAN, Segments};

use frame::{Frame, HEADER};
use huffman::{Table, standard_tables};
use scan::{Found, Scan, Tables};

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Refusal {
    Damaged(&'static str),
    Lost(f64, f64),
    /// A later scan of a progressive file is damaged from here on: the picture is there, but not its detail.
    Detail(f64),
    Variant(&'static str),
    Other(String),
}

use Refusal::{Damaged, Detail, Lost, Other, Variant};

impl Refusal {
    /// In words, with what to do.
    fn words(self) -> String {
        let again = "copy, download or export it again";
        match self {
            Damaged(how) => format!("the file is damaged: {how}; {again}"),
            Lost(share, from) => format!(
                "the file is damaged: {} of the picture is lost, from {} of its height on; {again}",
                percent(share),
                percent(from)
            ),
            Detail(from) => format!("the file is damaged: {}; {again}", detail(from)),
            Variant(what) => {
                format!("a rare variant that is not read ({what}); save it as PNG, or as an ordinary JPEG")
            }
            Other(what) => format!("the file is damaged ({what}); {again}"),
        }
    }
}

/// A share as people say it.
fn percent(share: f64) -> String {
    if share < 0.01 { "less than 1 %".to_owned() } else { format!("about {:.0} %", 100.0 * share) }
}

/// What is wrong where a later scan of a progressive file breaks off.
fn detail(from: f64) -> String {
    format!("one of the passes that add detail breaks off, so detail is lost from {} of its height on", percent(from))
}

/// More than this share of a picture must not be lost without a refusal.
const MOST_LOST: f64 = 0.02;

/// A big-endian `u16` at `at`, if the bytes are there.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// A decoded file.
pub(super) struct Decoded {
    pub image: DynamicImage,
    pub profile: Option<Vec<u8>>,
    /// What may be wrong with the pixels, if something may.
    pub doubt: Option<String>,
}

/// Decodes a file whose size was checked.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let walk = walk(bytes).map_err(Refusal::words)?;
    let with_tables = walk.tables_missing.then(|| complete(bytes)).flatten();
    let mut decoder = Decoder::new(with_tables.as_deref().unwrap_or(bytes));
    if let Some(transform) = walk.colours {
        decoder.set_color_transform(transform);
    }
    let pixels = decoder.decode().map_err(|error| match walk.doubt {
        // A decoder may stop where so little is lost that we would not.
        Some(Doubt::Lost(share, from)) => Lost(share, from).words(),
        Some(Doubt::Detail(from)) => Detail(from).words(),
        _ => explain(error),
    })?;
    let (width, height) = (walk.frame.size.0 as u32, walk.frame.size.1 as u32);
    let image = match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        Some(PixelFormat::RGB24) => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
        Some(PixelFormat::CMYK32) => RgbImage::from_raw(width, height, inks(&pixels)).map(DynamicImage::ImageRgb8),
        _ => None,
    };
    let image = image.ok_or_else(|| HEADER.words())?;
    let seam = || walk.units.iter().find_map(|&unit| seam::find(&image, unit, walk.restart));
    let doubt = walk.doubt.or_else(seam).map(Doubt::words);
    Ok(Decoded { profile: decoder.icc_profile(), image, doubt })
}

/// The decoder's complaint in our words.
fn explain(error: Error) -> String {
    match error {
        Error::Unsupported(what) => {
            format!("a rare variant that is not read ({what:?}); save it as PNG, or as an ordinary JPEG")
        }
        error => Other(error.to_string()).words(),
    }
}

/// CMYK as Pillow makes RGB of it, without regard to any inks.
fn inks(pixels: &[u8]) -> Vec<u8> {
    let rgb = |pixel: &[u8]| {
        let white = 255 - i32::from(pixel[3]);
        [0, 1, 2].map(|at| {
            let product = i32::from(pixel[at]) * white + 128;
            (white - (((product >> 8) + product) >> 8)).max(0) as u8
        })
    };
    pixels.chunks_exact(4).flat_map(rgb).collect()
}

/// The file with the tables that a Motion JPEG leaves out.
fn complete(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = 2;
    while bytes.get(at + 1) != Some(&SCAN) {
        at += 2 + be16(bytes, at + 2)?;
    }
    let tables = standard_tables();
    let length = (tables.len() as u16 + 2).to_be_bytes();
    Some([&bytes[..at], &[0xff, 0xc4], &length, &tables, &bytes[at..]].concat())
}

/// What may be wrong with a picture that is read.
#[derive(Debug, PartialEq)]
enum Doubt {
    Lost(f64, f64),
    /// Detail is lost from here on.
    Detail(f64),
    Spare(usize),
    Quanta,
    /// What lacks detail.
    Coarse(&'static str),
    Filled {
        from: f64,
    },
    /// A jump with a step in it, or a straight one, which may also be an edge in the picture.
    Seam {
        what: &'static str,
        from: f64,
        straight: bool,
    },
}

impl Doubt {
    fn words(self) -> String {
        match self {
            Self::Lost(share, from) => {
                format!("{} of the picture is lost, from {} of its height on", percent(share), percent(from))
            }
            Self::Detail(from) => detail(from),
            Self::Spare(count) => {
                format!("{count} bytes of its data were not needed, so a part of the picture may be in the wrong place")
            }
            Self::Quanta => {
                "a table of its quantisation looks like no other, so all of its pixels may be wrong".to_owned()
            }
            Self::Coarse(what) => format!("its finest scans are missing, so {what} detail"),
            Self::Filled { from } => format!(
                "its data has the same byte again and again at {} of its height, as if it had a hole there, so the picture \
                 from there on may be wrong",
                percent(from)
            ),
            Self::Seam { what, from, straight: true } => format!(
                "its {what} jumps along a straight edge across the whole width, at {} of its height; if that edge is not in \
                 the picture itself, the file is damaged there, and all below it may be wrong",
                percent(from)
            ),
            Self::Seam { what, from, straight: false } => format!(
                "its {what} jumps in the middle of a row, at {} of its height, so all of the picture from there on ({}) may \
                 be wrong",
                percent(from),
                percent(1.0 - from)
            ),
        }
    }
}

/// What the walk through a file has found.
struct Walk {
    frame: Frame,
    /// How the decoder is to take three or four components.
    colours: Option<ColorTransform>,
    tables_missing: bool,
    /// The units of the scans that hold the levels of blocks, in pixels, each once.
    units: Vec<(usize, usize)>,
    restart: usize,
    doubt: Option<Doubt>,
}

/// Reads all segments and all data.
fn walk(bytes: &[u8]) -> Result<Walk, Refusal> {
    let mut tables = Tables::default();
    let (mut frame, mut marks, mut tables_missing) = (None, Marks::default(), false);
    let (mut units, mut doubt): (Vec<(usize, usize)>, _) = (Vec::new(), None);
    for segment in Segments::new(bytes) {
        let segment = segment.map_err(|broken| match broken {
            Broken::Cut => Damaged("a length in it leads beyond its end"),
            Broken::Marker => Damaged("a marker in its data makes no sense"),
        })?;
        match segment.marker {
            0xc4 => huffman_tables(&mut tables, segment.body)?,
            0xdb => quantisation_tables(&mut tables, segment.body)?,
            0xdd => tables.restart = be16(segment.body, 0).ok_or(HEADER)?,
            0xdc => return Err(Variant("its height stands behind its data")),
            0xc0..=0xcf if !matches!(segment.marker, 0xc8 | 0xcc) => {
                if frame.is_some() {
                    return Err(Variant("more than one frame"));
                }
                frame = Some(Frame::parse(segment.marker, segment.body)?);
            }
            0xe0 => marks.jfif |= segment.body.starts_with(b"JFIF\0"),
            0xee if segment.body.starts_with(b"Adobe") => marks.adobe = segment.body.get(11).copied(),
            SCAN => {
                let frame = frame.as_mut().ok_or(HEADER)?;
                if tables.dc.iter().chain(&tables.ac).all(Option::is_none) {
                    tables_missing = true;
                    huffman_tables(&mut tables, &standard_tables())?;
                }
                let scan = Scan::parse(frame, segment.body)?;
                let found = scan.walk(segment.data, frame, &tables);
                doubt = worse(doubt, judge(&found, &tables, scan.adds_detail())?);
                units.extend(scan.unit(frame).filter(|unit| !units.contains(unit)));
            }
            _ => {}
        }
    }
    let frame = frame.ok_or(HEADER)?;
    let colours = marks.colours(&frame);
    let doubt = worse(doubt, unfinished(&frame, &tables)?);
    Ok(Walk { frame, colours, tables_missing, units, restart: tables.restart, doubt })
}

/// The first doubt is kept, except for one of a part that is lost.
fn worse(one: Option<Doubt>, other: Option<Doubt>) -> Option<Doubt> {
    match (&one, &other) {
        (Some(Doubt::Lost(..)), _)
        | (Some(_), None | Some(Doubt::Spare(_) | Doubt::Detail(_) | Doubt::Coarse(_) | Doubt::Quanta)) => one,
        _ => other,
    }
}

/// Whether a scan can be used, and what to say about it; one that adds detail takes none of the area with it.
fn judge(found: &Found, tables: &Tables, adds_detail: bool) -> Result<Option<Doubt>, Refusal> {
    let (spare, all) = found.spare;
    if found.lost > MOST_LOST {
        return Err(if adds_detail { Detail(found.from) } else { Lost(found.lost.min(1.0), found.from) });
    }
    if found.misnumbered {
        return Err(Damaged("a restart marker in its data has the wrong number"));
    }
    if found.lost > 0.0 {
        return Ok(Some(if adds_detail { Doubt::Detail(found.from) } else { Doubt::Lost(found.lost, found.from) }));
    }
    // A few bytes are some program's habit, and so are rows below the last; others are blocks that have lost their place.
    if tables.restart == 0 && spare > 64 && spare as f64 > MOST_LOST * all as f64 {
        return Err(Damaged("its data holds more than the whole picture"));
    }
    let filled = found.filled.filter(|from| 1.0 - from > MOST_LOST).map(|from| Doubt::Filled { from });
    Ok(filled.or((spare > 0).then_some(Doubt::Spare(spare))))
}

/// What the scans together have left out.
fn unfinished(frame: &Frame, tables: &Tables) -> Result<Option<Doubt>, Refusal> {
    for component in &frame.components {
        if component.known[0] == 255 || tables.quanta[component.quanta].is_none() {
            return Err(Damaged("it lacks one of its components"));
        }
    }
    let whole = |component: &frame::Component| component.known.iter().all(|bit| *bit == 0);
    if !frame.components.iter().all(whole) {
        let only_colour = frame.components.len() == 3 && whole(&frame.components[0]);
        return Ok(Some(Doubt::Coarse(if only_colour { "its colours lack" } else { "all of it lacks" })));
    }
    let strange = |component: &frame::Component| tables.quanta[component.quanta].is_some_and(|quanta| uneven(&quanta));
    Ok(frame.components.iter().any(strange).then_some(Doubt::Quanta))
}

/// Whether many neighbours in a quantisation table differ more than programs make them: damage does not know what stands
/// beside it.
fn uneven(quanta: &[u16; 64]) -> bool {
    let far = |pair: &&[u16]| pair[0].max(pair[1]) > 6 * pair[0].min(pair[1]) + 24;
    quanta.windows(2).filter(far).count() >= 6
}

fn huffman_tables(tables: &mut Tables, mut body: &[u8]) -> Result<(), Refusal> {
    const BAD: Refusal = Damaged("a table of its codes makes no sense");
    while let [place, rest @ ..] = body {
        let (counts, rest) = rest.split_first_chunk::<16>().ok_or(BAD)?;
        let count = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(count).ok_or(BAD)?;
        let table = Table::new(counts, symbols).ok_or(BAD)?;
        let places = match place >> 4 {
            0 => &mut tables.dc,
            1 => &mut tables.ac,
            _ => return Err(BAD),
        };
        *places.get_mut(usize::from(place & 15)).ok_or(BAD)? = Some(table);
        body = rest;
    }
    Ok(())
}

fn quantisation_tables(tables: &mut Tables, mut body: &[u8]) -> Result<(), Refusal> {
    const BAD: Refusal = Damaged("a table of its quantisation makes no sense");
    while let [place, rest @ ..] = body {
        let wide = usize::from(place >> 4 != 0) + 1;
        let (values, rest) = rest.split_at_checked(64 * wide).ok_or(BAD)?;
        let value = |at: usize| if wide == 2 { be16(values, 2 * at).unwrap_or(0) as u16 } else { values[at].into() };
        let quanta: [u16; 64] = std::array::from_fn(value);
        if place >> 4 > 1 || quanta.contains(&0) {
            return Err(BAD);
        }
        *tables.quanta.get_mut(usize::from(place & 15)).ok_or(BAD)? = Some(quanta);
        body = rest;
    }
    Ok(())
}

/// What says which colours the components are.
#[derive(Default)]
struct Marks {
    jfif: bool,
    /// The transform in Adobe's segment.
    adobe: Option<u8>,
}

impl Marks {
    /// As libjpeg decides it (`default_decompress_parms`), and with it browsers and Pillow.
    fn colours(&self, frame: &Frame) -> Option<ColorTransform> {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        Some(match (ids.len(), self.adobe) {
            (1, _) => return None,
            (3, Some(0)) if !self.jfif => ColorTransform::RGB,
            (3, None) if !self.jfif && ids == *b"RGB" => ColorTransform::RGB,
            (3, _) => ColorTransform::YCbCr,
            (_, Some(0) | None) => ColorTransform::CMYK,
            _ => ColorTransform::YCCK,
        })
    }
}
