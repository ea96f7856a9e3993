//! What of the pictures counts, shown and said.

use image::imageops::thumbnail;
use image::{GrayImage, RgbImage};

use crate::event::{Event, MaskOf, MaskOrigin, WarningCode};
use crate::image::{Sheet, SheetRow};
use crate::train::MaskedPicture;

/// Pictures on the sheet at most.
const SHOWN: usize = 40;
/// Pixels of the longer side of a picture on the sheet.
const SIDE: u32 = 192;
/// How bright it stays where it does not count.
const DIM: u32 = 40;

/// A warning about pictures whose thing was looked for and not found for sure: what that means, and what to do.
pub(super) fn unsure(masks: &Event) -> Option<Event> {
    let Event::Masks { masks, .. } = masks else { return None };
    let names: Vec<&str> =
        masks.iter().filter(|mask| mask.origin == MaskOrigin::Unsure).map(|mask| mask.name.as_str()).collect();
    let (first, more) = match names.as_slice() {
        [] => return None,
        [one] => (*one, String::new()),
        [one, rest @ ..] => (*one, format!(" and {} more ({})", rest.len(), rest.join(", "))),
    };
    let wanted = std::path::Path::new(first).with_extension("mask.png");
    let text = format!(
        "it is not sure what in {first}{more} is the thing, so all of it counts, the background too: a picture like {} that is white \
         where the thing is would say it",
        wanted.display()
    );
    Some(Event::warning(WarningCode::UnsureMasks, text))
}

/// A sheet of the squares that the model sees, each beside itself with what is outside of its mask dimmed; none without masks.
pub(super) fn sheet(pictures: &[MaskedPicture], masks: &Event) -> Option<RgbImage> {
    let Event::Masks { masks, .. } = masks else { return None };
    let rows = pictures.iter().zip(masks).take(SHOWN).map(|(MaskedPicture { square, mask }, about)| {
        let side = square.width().min(SIDE);
        let small = thumbnail(square, side, side);
        let counts = mask.as_ref().map(|mask| dimmed(&small, &thumbnail(mask, side, side)));
        SheetRow { label: label(about), pictures: vec![Some(small), counts] }
    });
    let (rows, left) = (rows.collect::<Vec<_>>(), masks.len().saturating_sub(SHOWN));
    if rows.is_empty() {
        return None;
    }
    let title = (left > 0).then(|| format!("{left} more pictures are not shown"));
    Some(Sheet { title, columns: vec!["picture".to_owned(), "what counts".to_owned()], rows }.render())
}

/// What a picture is called on the sheet, and where its mask is from.
fn label(mask: &MaskOf) -> String {
    let file = std::path::Path::new(&mask.name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sure = mask.confidence.map_or(String::new(), |sure| format!(" ({:.0} % sure)", 100.0 * sure));
    let how = match mask.origin {
        MaskOrigin::Given => "given",
        MaskOrigin::Transparency => "from its transparency",
        MaskOrigin::Found => "found",
        MaskOrigin::Unsure => "not sure: all of it counts",
        MaskOrigin::None => "no mask: all of it counts",
    };
    format!("{file}: {how}{sure}")
}

/// A picture with what is outside of a mask of its size dimmed.
fn dimmed(picture: &RgbImage, mask: &GrayImage) -> RgbImage {
    let mut dimmed = picture.clone();
    for (pixel, mask) in dimmed.pixels_mut().zip(mask.pixels()) {
        let light = DIM + (255 - DIM) * u32::from(mask[0]) / 255;
        pixel.0 = pixel.0.map(|value| (u32::from(value) * light / 255) as u8);
    }
    dimmed
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    fn about(name: &str, origin: MaskOrigin) -> MaskOf {
        MaskOf { name: name.to_owned(), origin, share: None, confidence: Some(0.5) }
    }

    #[test]
    fn pictures_that_one_is_not_sure_of_are_named_with_what_to_do() {
        let event = |masks| Event::Masks { outside: 0.1, masks };
        assert_eq!(unsure(&event(vec![about("a.png", MaskOrigin::Found)])), None);
        let some = event(vec![about("p/a.jpg", MaskOrigin::Unsure), about("b.png", MaskOrigin::Unsure)]);
        let Some(Event::Warning { text, .. }) = unsure(&some) else { panic!("no warning") };
        assert!(text.contains("p/a.jpg and 1 more (b.png)") && text.contains("a.mask.png"), "{text}");
    }

    #[test]
    fn what_is_outside_is_dark_on_the_sheet() {
        let white = RgbImage::from_pixel(SIDE, SIDE, Rgb([255; 3]));
        let mask = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([if x < SIDE / 2 { 255 } else { 0 }]));
        let shown = dimmed(&white, &mask);
        assert_eq!((shown.get_pixel(0, 0).0, shown.get_pixel(SIDE - 1, 0).0), ([255; 3], [40; 3]));
        let event = Event::Masks { outside: 0.1, masks: vec![about("a.png", MaskOrigin::Given)] };
        let sheet = sheet(&[MaskedPicture { square: white, mask: Some(mask) }], &event).unwrap();
        assert!(sheet.width() > 2 * SIDE && sheet.pixels().filter(|pixel| pixel.0 == [40; 3]).count() > 10_000);
    }
}
