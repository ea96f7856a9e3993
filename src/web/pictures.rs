//! The pictures that the page gives, and what of them is the thing.

use std::io::Cursor;

use image::imageops::{FilterType, crop_imm, replace, resize};
use image::{GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::engine::settings;
use super::tools::Tools;
use super::{plain, to_js};
use crate::Error;
use crate::base::text::quoted;
use crate::config::TrainConfig;
use crate::event::MaskOrigin;
use crate::image::{Mask, Picture};
use crate::train::templates::parse_caption;
use crate::train::{TrainInput, TrainPicture, find_masks_without_model};

/// Pixels of the longer side of a mask that the page shows.
const SHOWN: u32 = 512;

/// Reads pictures, objects `{name, bytes, caption?, crop?, mask?}`: the caption has the token, or `{}` in its place; `crop` is the square
/// `{left, top, side}` to learn from, in pixels of the upright picture; `mask` is a picture of the shape of the whole, opaque where the
/// thing is. One that has nothing for the thing in the square, which is the middle where none is given, is left out.
pub(super) fn read(given: &Array, token: &str) -> Result<Vec<TrainPicture>, JsValue> {
    given.iter().map(|picture| read_one(&picture, token)).collect()
}

fn read_one(given: &JsValue, token: &str) -> Result<TrainPicture, JsValue> {
    let field = |name: &str| js_sys::Reflect::get(given, &name.into());
    let name = field("name")?.as_string().unwrap_or_default();
    let mut picture = Picture::decode(&name, &Uint8Array::new(&field("bytes")?).to_vec()).map_err(to_js)?;
    let square = square_of(&field("crop")?)?;
    let mask = field("mask")?;
    let mut mask = if mask.is_truthy() {
        let mut mask =
            Picture::decode(&format!("the mask of {name}"), &Uint8Array::new(&mask).to_vec()).map_err(to_js)?;
        // What is opaque is the thing, in whatever colour.
        mask.pixels.fill(255);
        Some(Mask::of(&mask, &picture).map_err(to_js)?.pixels.unwrap_or_else(|| all_of(&picture)))
    } else {
        None
    };
    if let Some(square) = square {
        picture = picture.cut(square).map_err(to_js)?;
        let [left, top, side] = square;
        mask = mask.map(|mask| crop_imm(&mask, left, top, side, side).to_image());
    }
    mask = mask.filter(|mask| {
        let (width, height) = mask.dimensions();
        let side = width.min(height);
        let seen = crop_imm(mask, (width - side) / 2, (height - side) / 2, side, side).to_image();
        seen.iter().any(|value| *value > 0)
    });
    let caption = field("caption")?.as_string().map(|caption| {
        let bad = |reason: String| to_js(Error::BadFile { file: format!("the caption of {name}"), reason });
        parse_caption(&caption, &[token]).map_err(bad)
    });
    Ok(TrainPicture { picture, caption: caption.transpose()?, mask })
}

/// The mask of a picture that is the thing all over.
fn all_of(picture: &Picture) -> GrayImage {
    let (width, height) = picture.pixels.dimensions();
    GrayImage::from_pixel(width, height, Luma([255]))
}

/// The square that the page gave for a picture, `[left, top, side]`; none if it gave none.
fn square_of(given: &JsValue) -> Result<Option<[u32; 3]>, JsValue> {
    if given.is_undefined() || given.is_null() {
        return Ok(None);
    }
    let number = |name: &str| {
        let value = js_sys::Reflect::get(given, &name.into())?.as_f64().filter(|value| (0.0..1e6).contains(value));
        let missing = || to_js(Error::Usage(format!("a crop has no {}", quoted(name))));
        value.map(|value| value.round() as u32).ok_or_else(missing)
    };
    Ok(Some([number("left")?, number("top")?, number("side")?]))
}

/// A mask as a PNG in the shape of the whole picture, opaque where the thing is.
fn shown(mask: &GrayImage, picture: &Picture) -> Result<Vec<u8>, JsValue> {
    let of = picture.cut.map_or(mask.dimensions(), |cut| cut.of);
    let at = picture.cut.map_or((0, 0), |cut| cut.at);
    let scale = (f64::from(SHOWN) / f64::from(of.0.max(of.1))).min(1.0);
    let scaled = |pixels: u32| (f64::from(pixels) * scale).round();
    let size = |pixels: u32| scaled(pixels).max(1.0) as u32;
    let small = resize(mask, size(mask.width()), size(mask.height()), FilterType::Triangle);
    let mut whole = GrayImage::new(size(of.0), size(of.1));
    replace(&mut whole, &small, scaled(at.0) as i64, scaled(at.1) as i64);
    let opaque = GrayAlphaImage::from_fn(whole.width(), whole.height(), |x, y| LumaA([255, whole.get_pixel(x, y)[0]]));
    let mut bytes = Cursor::new(Vec::new());
    let written = opaque.write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|error| to_js(Error::Internal(format!("a mask cannot be written: {error}"))))?;
    Ok(bytes.into_inner())
}

#[wasm_bindgen]
impl Tools {
    /// What a run with a configuration takes for the thing in each of some pictures, which are given as for
    /// [`Engine::train`](super::Engine::train): `[{name, origin, share?, confidence?, mask?}]` ([`MaskOf`](crate::event::MaskOf)), where
    /// `mask` is a PNG of the shape of the whole picture, opaque where the thing is. Where the configuration asks for it to be found, it is
    /// there also if that is not sure, though a run does not use it then. Nothing if no picture has a mask and none was looked for.
    pub fn masks(&self, config: JsValue, pictures: Array) -> Result<Array, JsValue> {
        let config: TrainConfig = settings(&config)?;
        let mut input = TrainInput { pictures: read(&pictures, &config.token)?, ..TrainInput::default() };
        let masks = find_masks_without_model(&config, &mut input).map_err(to_js)?;
        if masks.iter().all(|mask| mask.origin == MaskOrigin::None) {
            return Ok(Array::new());
        }
        let each = masks.iter().zip(&input.pictures).map(|(of, TrainPicture { picture, mask, .. })| {
            let about = plain(of)?;
            if let Some(mask) = mask {
                js_sys::Reflect::set(&about, &"mask".into(), &Uint8Array::from(shown(mask, picture)?.as_slice()))?;
            }
            Ok(about)
        });
        each.collect()
    }
}
