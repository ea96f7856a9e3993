//! What of the pictures is the thing, and what follows for the loss.
//!
//! A mask says it by pixels. It is given with a picture ([`TrainPicture::mask`]), or the thing is looked for in the square that the model
//! sees, beginning where the model itself sees it (`locate`). A position of the latents that it covers by a share m, the mean over the
//! position's pixels, weighs outside + (1 - outside) m: 1 where all is the thing. What padding adds weighs nothing. Then the weights of each
//! picture are divided by their mean (as OneTrainer's `normalize_masked_area_loss` does), so that a picture counts as much as any other
//! however small its thing is, and losses compare with those of runs without masks. Each view of a picture has its weights once; samples and
//! the files of choices have them as they are used. A thing that is put before plain backgrounds (`dataset`) needs no weights.

use image::imageops::flip_horizontal;
use image::{GrayImage, RgbImage};

use super::sample::PositionWeights;
use super::{TrainInput, TrainPicture};
use crate::config::{Masks, TrainConfig};
use crate::event::{Event, MaskOf, MaskOrigin, WarningCode};
use crate::image::{AttentionMap, FoundThing, Picture, find_things, square_weights};
use crate::setting::Setting;
use crate::{Error, Result};

/// How sure a thing that was found must be to be used as a mask. Of 240 pictures of drawn things in front of five kinds of backgrounds
/// (`benches/README.md`) 8 % were below: five of the nine in which less than 0.6 of intersection over union was found, and three of the
/// 159 with more than 0.85.
const SURE: f32 = 0.8;

/// A picture as the model sees it, and what of it is the thing.
#[derive(Debug, Clone)]
pub struct MaskedPicture {
    /// The square.
    pub square: RgbImage,
    /// White where the thing is, as large as the square; none where all of it counts.
    pub mask: Option<GrayImage>,
}

/// Gives each picture the mask that it brings with it, if the settings do not forbid it, and says what every picture has. Masks that are
/// there are kept. None where no picture has a mask.
///
/// # Errors
/// [`Error::BadPicture`] for a picture that is wholly transparent.
pub fn find_masks(config: &TrainConfig, input: &mut TrainInput) -> Result<Option<Event>> {
    let pictures = input.pictures.iter_mut().chain(&mut input.unseen);
    let masks = pictures.map(|picture| own(config.masks, picture)).collect::<Result<Vec<_>>>()?;
    let any = masks.iter().any(|mask| mask.origin != MaskOrigin::None);
    Ok(any.then_some(Event::Masks { outside: config.outside, masks }))
}

/// What [`find_masks`] gives and, where the settings ask for masks to be found, what is found in the other pictures together without asking
/// a model, also where that is not sure: to be shown and corrected before there is a model. Says what every picture has.
///
/// # Errors
/// As [`find_masks`].
pub fn find_masks_without_model(config: &TrainConfig, input: &mut TrainInput) -> Result<Vec<MaskOf>> {
    let mut all = Vec::new();
    for pictures in [&mut input.pictures, &mut input.unseen] {
        let mut masks = pictures.iter_mut().map(|of| own(config.masks, of)).collect::<Result<Vec<_>>>()?;
        let bare = |i: &usize| config.masks == Some(Masks::Auto) && pictures[*i].mask.is_none();
        let bare: Vec<usize> = (0..pictures.len()).filter(bare).collect();
        let seen: Vec<&Picture> = bare.iter().map(|i| &pictures[*i].picture).collect();
        let found = find_things(&seen, &[]);
        for (i, found) in bare.into_iter().zip(found) {
            masks[i] = about(&found, &pictures[i].picture.name);
            pictures[i].mask = Some(found.mask);
        }
        all.extend(masks);
    }
    Ok(all)
}

/// What is said of a thing that was found in a picture of some name.
fn about(found: &FoundThing, name: &str) -> MaskOf {
    let sure = found.confidence >= SURE;
    MaskOf {
        name: name.to_owned(),
        origin: if sure { MaskOrigin::Found } else { MaskOrigin::Unsure },
        share: sure.then(|| share(&found.mask)),
        confidence: Some(f64::from(found.confidence)),
    }
}

/// Looks for the thing in some squares that belong together, each with what the model sees of it there, and says what was found; the mask
/// only where it is sure.
pub(super) fn find(squares: &[&RgbImage], maps: &[AttentionMap], names: &[&str]) -> Vec<(MaskOf, Option<GrayImage>)> {
    let pictures: Vec<Picture> =
        squares.iter().zip(names).map(|(square, name)| Picture::new(*name, (*square).clone())).collect();
    let found = find_things(&pictures.iter().collect::<Vec<_>>(), maps);
    let of = |(found, name): (FoundThing, &&str)| {
        let about = about(&found, name);
        let sure = about.origin == MaskOrigin::Found;
        (about, sure.then_some(found.mask))
    };
    found.into_iter().zip(names).map(of).collect()
}

/// Gives a picture the mask that it brings with it.
pub(super) fn own(which: Option<Masks>, of: &mut TrainPicture) -> Result<MaskOf> {
    let mut origin = MaskOrigin::Given;
    if of.picture.alpha.as_ref().is_some_and(|alpha| alpha.iter().all(|value| *value == 0)) {
        let reason = "it is wholly transparent: there is nothing to learn from".to_owned();
        return Err(Error::BadPicture { file: of.picture.name.clone(), reason });
    }
    if which == Some(Masks::Off) {
        of.mask = None;
    } else if of.mask.is_none()
        && let Some(alpha) = &of.picture.alpha
    {
        (of.mask, origin) = (Some(alpha.clone()), MaskOrigin::Transparency);
    }
    if let Some(mask) = &of.mask {
        check_size(mask, &of.picture)?;
        if Some(mask) == of.picture.alpha.as_ref() {
            origin = MaskOrigin::Transparency;
        }
    }
    let origin = if of.mask.is_some() { origin } else { MaskOrigin::None };
    Ok(MaskOf { name: of.picture.name.clone(), origin, share: of.mask.as_ref().map(share), confidence: None })
}

/// A warning where it makes no difference how much counts what is outside of masks, though it was said: `masked` if there are any, and
/// `is_gone` if nothing of what was behind the things is left.
pub(super) fn idle(config: &TrainConfig, masked: bool, is_gone: bool) -> Option<Event> {
    let outside = Setting::Outside;
    let text = if config.outside == TrainConfig::default().outside {
        return None;
    } else if !masked {
        format!("{outside} has no effect: no picture has a mask")
    } else if is_gone {
        format!(
            "{outside} has no effect: nothing of what was there is left behind the things ({} plain)",
            Setting::Backgrounds
        )
    } else if config.outside == 1.0 {
        format!("the masks have no effect: {outside} is 1")
    } else {
        return None;
    };
    Some(Event::warning(WarningCode::NoEffect, text))
}

/// How much of a picture a mask has for the thing, from 0 to 1.
fn share(mask: &GrayImage) -> f64 {
    let sum: u64 = mask.iter().map(|value| u64::from(*value)).sum();
    sum as f64 / (255.0 * mask.len().max(1) as f64)
}

/// Refuses masks that leave nothing to learn from in the squares of `[h, w]` positions that the pictures become.
///
/// # Errors
/// [`Error::BadPicture`].
pub fn check_masks(config: &TrainConfig, input: &TrainInput, size: [usize; 2]) -> Result<()> {
    for TrainPicture { picture, mask, .. } in input.pictures.iter().chain(&input.unseen) {
        if let Some(mask) = mask {
            check_size(mask, picture)?;
            weights([mask, &whole(picture)], picture, config, size, false)?;
        }
    }
    Ok(())
}

/// All of a picture, as a mask.
pub(super) fn whole(picture: &Picture) -> GrayImage {
    GrayImage::from_pixel(picture.pixels.width(), picture.pixels.height(), image::Luma([255]))
}

/// Refuses a mask of another size than its picture's.
fn check_size(mask: &GrayImage, picture: &Picture) -> Result<()> {
    let (has, needs) = (mask.dimensions(), picture.pixels.dimensions());
    if has == needs {
        return Ok(());
    }
    let reason = format!("its mask is {}x{}, the picture is {}x{}", has.0, has.1, needs.0, needs.1);
    Err(Error::BadPicture { file: picture.name.clone(), reason })
}

/// The weights of the positions `[h, w]` of a picture's latents, of the mirrored view or the plain one: by the mask of the thing, and of what
/// is picture at all, both of one size, before they are framed.
///
/// # Errors
/// [`Error::BadPicture`] where nothing of the thing is seen.
pub(super) fn weights(
    [thing, seen]: [&GrayImage; 2],
    picture: &Picture,
    config: &TrainConfig,
    size: [usize; 2],
    mirrored: bool,
) -> Result<PositionWeights> {
    let (framing, outside) = (config.framing, config.outside);
    let view = |pixels: &GrayImage| {
        if mirrored {
            square_weights(&flip_horizontal(pixels), framing, size)
        } else {
            square_weights(pixels, framing, size)
        }
    };
    let (thing, seen) = (view(thing), view(seen));
    if thing.iter().all(|share| *share == 0.0) {
        let reason = "nothing of what its mask has for the thing is in the square that is made of it: cut the picture \
                      yourself, around the thing";
        return Err(Error::BadPicture { file: picture.name.clone(), reason: reason.to_owned() });
    }
    let weights = thing.iter().zip(&seen).map(|(m, seen)| outside * f64::from(*seen) + (1.0 - outside) * f64::from(*m));
    let weights: Vec<f64> = weights.collect();
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    Ok(weights.iter().map(|weight| (weight / mean) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Framing;
    use image::{Luma, RgbImage};

    fn picture(width: u32, height: u32, mask: impl Fn(u32, u32) -> u8) -> TrainPicture {
        let mask = Some(GrayImage::from_fn(width, height, |x, y| Luma([mask(x, y)])));
        TrainPicture { picture: Picture::new("p", RgbImage::new(width, height)), caption: None, mask }
    }

    fn of(
        one: &TrainPicture,
        framing: Framing,
        outside: f64,
        size: [usize; 2],
        mirrored: bool,
    ) -> Result<PositionWeights> {
        let config = TrainConfig { framing, outside, ..TrainConfig::default() };
        weights([one.mask.as_ref().unwrap(), &whole(&one.picture)], &one.picture, &config, size, mirrored)
    }

    #[test]
    fn a_position_weighs_by_what_of_it_is_the_thing_and_a_picture_one_in_the_mean() {
        // 8x8 pixels a position: the left column of positions is the thing, the next half of it.
        let quarters = picture(32, 32, |x, _| if x < 12 { 255 } else { 0 });
        let weights = of(&quarters, Framing::Crop, 0.1, [4, 4], false).unwrap();
        let mean = (1.0 + 0.55 + 0.1 + 0.1) / 4.0;
        for row in weights.chunks(4) {
            for (weight, expected) in row.iter().zip([1.0, 0.55, 0.1, 0.1]) {
                assert!((f64::from(*weight) - expected / mean).abs() < 5e-3, "{row:?}");
            }
        }
        assert!((weights.iter().sum::<f32>() / 16.0 - 1.0).abs() < 1e-6);
        let mirrored = of(&quarters, Framing::Crop, 0.1, [4, 4], true).unwrap();
        assert_eq!(mirrored.iter().rev().collect::<Vec<_>>(), weights.iter().collect::<Vec<_>>());
    }

    #[test]
    fn padding_weighs_nothing_and_what_is_cut_away_is_missed() {
        let wide = picture(32, 16, |x, _| if x < 16 { 255 } else { 0 });
        let fitted = of(&wide, Framing::Fit, 0.5, [4, 4], false).unwrap();
        assert_eq!(fitted[..4], [0.0; 4]);
        assert!((fitted[4] - 16.0 / (4.0 + 2.0)).abs() < 1e-6 && (fitted[7] - 8.0 / 6.0).abs() < 1e-6, "{fitted:?}");
        let edge = picture(64, 16, |x, _| if x < 8 { 255 } else { 0 });
        let refused = of(&edge, Framing::Crop, 0.1, [2, 2], false).unwrap_err().to_string();
        assert!(refused.contains("nothing of what its mask has for the thing"), "{refused}");
        let mut other = picture(16, 16, |_, _| 255);
        other.mask = Some(GrayImage::new(3, 3));
        let refused = check_masks(
            &TrainConfig::default(),
            &TrainInput { pictures: vec![other], ..TrainInput::default() },
            [2, 2],
        )
        .unwrap_err()
        .to_string();
        assert!(refused.contains("its mask is 3x3, the picture is 16x16"), "{refused}");
    }

    #[test]
    fn transparency_is_a_mask_unless_one_was_given_or_none_is_wanted() {
        let find = |masks, given: bool| {
            let mut one = picture(16, 16, |x, _| if x < 4 { 255 } else { 0 });
            one.picture.alpha = Some(GrayImage::from_pixel(16, 16, Luma([51])));
            if !given {
                one.mask = None;
            }
            let config = TrainConfig { masks, ..TrainConfig::default() };
            let mut input = TrainInput { pictures: vec![one], ..TrainInput::default() };
            find_masks(&config, &mut input).unwrap().map(|event| match event {
                Event::Masks { masks, .. } => (masks[0].origin, masks[0].share.unwrap()),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(find(None, true), Some((MaskOrigin::Given, 0.25)));
        assert_eq!(find(Some(Masks::Given), false), Some((MaskOrigin::Transparency, 0.2)));
        assert_eq!(find(Some(Masks::Off), true), None);
        let mut empty = picture(16, 16, |_, _| 0);
        empty.picture.alpha = empty.mask.take();
        let mut input = TrainInput { pictures: vec![empty], ..TrainInput::default() };
        assert!(
            find_masks(&TrainConfig::default(), &mut input).unwrap_err().to_string().contains("wholly transparent")
        );
    }

    #[test]
    fn how_much_outside_counts_is_said_to_be_useless_where_it_is() {
        let said = |outside: f64, masked, is_gone| {
            let config = TrainConfig { outside, ..TrainConfig::default() };
            idle(&config, masked, is_gone).map(|event| match event {
                Event::Warning { text, .. } => text,
                other => panic!("{other:?}"),
            })
        };
        for (masked, is_gone) in [(false, true), (true, true), (true, false)] {
            assert_eq!(said(0.1, masked, is_gone), None);
        }
        assert!(said(0.5, false, true).unwrap().contains("no picture has a mask"));
        assert!(said(1.0, true, true).unwrap().contains("nothing of what was there is left"));
        assert!(said(1.0, true, false).unwrap().starts_with("the masks have no effect"));
        assert_eq!(said(0.5, true, false), None);
    }
}
