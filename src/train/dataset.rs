//! Pictures, encoded once: what training needs of them is the mean and spread of their latents.

use std::borrow::Cow;
use std::collections::VecDeque;

use burn::tensor::Tensor;
use image::{GrayImage, RgbImage};

use super::check::side;
use super::describe::{Describing, Phrases};
use super::learner::Learner;
use super::locate::Locator;
use super::masks::MaskedPicture;
use super::sample::PositionWeights;
use super::words::Words;
use super::{TrainPicture, masks, usual};
use crate::config::{Backgrounds, Masks, TrainConfig};
use crate::event::{EvaluatedOn, Event, MaskOf, MaskOrigin};
use crate::image::{AttentionMap, Colour, Seen, before_plain, mirror, square, square_mask, time_ids, to_floats};
use crate::model::Model;
use crate::unet::TimeIds;
use crate::vae::VaeEncoder;
use crate::vae::tiling::{self, Map};
use crate::{Error, Result, layout, ops};

/// The posterior of one view of a picture, on the host.
pub(super) struct CachedLatents {
    /// Means, `[4, h, w]`.
    pub mean: Vec<f32>,
    /// Standard deviations, `[4, h, w]`.
    pub std: Vec<f32>,
    /// Height and width.
    pub size: [usize; 2],
    /// The sizes of the picture, in pixels.
    pub time_ids: TimeIds,
    /// How much the loss at each position counts, `[h, w]`; none where all count alike.
    pub weights: Option<PositionWeights>,
}

/// The views of each picture, and its own caption if it has one.
#[derive(Default)]
pub(super) struct Dataset {
    /// Before each of its backgrounds as it is and, if flips are drawn, mirrored.
    pub pictures: Vec<Vec<CachedLatents>>,
    /// The backgrounds of each picture: its own, which is none, or plain ones that it is put before.
    pub backgrounds: Vec<Vec<Option<Colour>>>,
    /// What they are called.
    pub names: Vec<String>,
    /// What can be seen of them without a model, if that is asked.
    pub seen: Vec<Seen>,
    /// For each background of each picture.
    pub captions: Vec<Vec<Option<String>>>,
}

impl Dataset {
    /// A view of a picture before one of its backgrounds: mirrored, if there is one that is.
    pub fn view(&self, picture: usize, background: usize, mirrored: bool) -> &CachedLatents {
        let views = &self.pictures[picture];
        let each = views.len() / self.backgrounds[picture].len();
        &views[background * each + usize::from(mirrored) % each]
    }
}

/// A picture on its way into its dataset.
struct Coming {
    set: EvaluatedOn,
    picture: TrainPicture,
    /// As the model sees it, and what was done for that.
    square: RgbImage,
    prepared: String,
    about: MaskOf,
    /// Where the thing is in the square.
    mask: Option<GrayImage>,
    /// Where the model sees it, if it was asked.
    map: Option<AttentionMap>,
}

/// Pictures on their way into their datasets.
pub(super) struct Encoding {
    /// Those that nobody has looked at yet.
    waiting: VecDeque<(EvaluatedOn, TrainPicture)>,
    /// Those that were looked at, and those of them whose masks are known.
    looked_at: Vec<Coming>,
    ready: VecDeque<Coming>,
    /// What is told of their masks, once it is known.
    masked: Vec<MaskedPicture>,
    encoder: Option<VaeEncoder>,
    locator: Option<Locator>,
    config: TrainConfig,
    masks: Masks,
    backgrounds: Vec<Colour>,
    side: u32,
    training: Dataset,
    unseen: Dataset,
}

impl Encoding {
    /// With `replays` every choice is that of a file: pictures are what they are.
    pub fn new(
        config: &TrainConfig,
        model: &Model,
        words: &Words,
        input: (Vec<TrainPicture>, Vec<TrainPicture>),
        replays: bool,
    ) -> Self {
        let (pictures, unseen) = input;
        let training = pictures.into_iter().map(|picture| (EvaluatedOn::Training, picture));
        let unseen = unseen.into_iter().map(|picture| (EvaluatedOn::Unseen, picture));
        let family = model.config.usual_family();
        let is_plain = usual::backgrounds(config, family) == Backgrounds::Plain && !replays;
        let backgrounds = if is_plain { Phrases::of(&model.config).backgrounds().to_vec() } else { Vec::new() };
        Self {
            waiting: training.chain(unseen).collect(),
            looked_at: Vec::new(),
            ready: VecDeque::new(),
            masked: Vec::new(),
            encoder: None,
            locator: Locator::new(config.seed, words.thing()),
            config: config.clone(),
            masks: if replays && config.masks.is_none() { Masks::Given } else { usual::masks(config, family) },
            backgrounds,
            side: side(config, &model.config),
            training: Dataset::default(),
            unseen: Dataset::default(),
        }
    }

    /// What was encoded, for training and unseen.
    pub fn into_datasets(self) -> (Dataset, Dataset) {
        (self.training, self.unseen)
    }

    /// The pictures that [`Event::Masks`] is about, in its order, once it has happened.
    pub fn take_masked(&mut self) -> Vec<MaskedPicture> {
        std::mem::take(&mut self.masked)
    }

    /// Looks at the next picture, or encodes it once all were looked at, or makes the next caption once all are encoded; gives what
    /// happened, which is nothing when all is done.
    pub async fn next(&mut self, learner: &Learner, describing: &mut Describing) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some((set, picture)) = self.waiting.pop_front() {
            let total = self.looked_at.len() + 1 + self.waiting.len();
            let (coming, was_asked) = self.look(set, picture, learner, &mut events).await?;
            let name = coming.picture.picture.name.clone();
            self.looked_at.push(coming);
            if was_asked {
                events.push(Event::Locate { done: self.looked_at.len() as u32, total: total as u32, name });
                return Ok(events);
            }
        }
        if !self.looked_at.is_empty() {
            events.extend(self.find_masks());
        }
        if let Some(coming) = self.ready.pop_front() {
            self.encode(coming, learner, describing, &mut events).await?;
            return Ok(events);
        }
        // Nothing needs it any more.
        if self.encoder.take().is_some() {
            ops::release_unused(&learner.model.device);
        }
        events.extend(describing.next([&mut self.training, &mut self.unseen], learner).await?);
        Ok(events)
    }

    /// Makes the square of a picture, and asks the model where the thing is if nothing else says it; also gives whether it was asked.
    async fn look(
        &mut self,
        set: EvaluatedOn,
        mut picture: TrainPicture,
        learner: &Learner,
        events: &mut Vec<Event>,
    ) -> Result<(Coming, bool)> {
        events.extend(picture.picture.take_warning());
        let about = masks::own(self.config.masks, &mut picture)?;
        let (square, prepared) = square(&picture.picture, self.side, self.config.framing);
        let mask = picture.mask.as_ref().map(|mask| square_mask(mask, self.side, self.config.framing));
        let mut coming = Coming { set, picture, square, prepared, about, mask, map: None };
        let (true, Some(locator)) = (self.is_looked_for(&coming), &self.locator) else { return Ok((coming, false)) };
        let model = &learner.model;
        let encoder = encoder(&mut self.encoder, model, events).await?;
        let name = &coming.picture.picture.name;
        let mut view = encode(&to_floats(&coming.square), self.side as usize, name, encoder, model).await?;
        view.time_ids = time_ids(&coming.picture.picture, self.side, self.config.framing);
        coming.map = locator.locate(learner, &view).await?;
        Ok((coming, true))
    }

    /// Whether the thing is to be found in a picture. Unless it was asked for, not in one whose caption says what is behind it.
    fn is_looked_for(&self, coming: &Coming) -> bool {
        let is_bare = self.config.masks == Some(Masks::Auto) || coming.picture.caption.is_none();
        self.masks == Masks::Auto && coming.mask.is_none() && is_bare
    }

    /// Finds what is to be found, in each set by itself, and says what all have, if there is something to be said.
    fn find_masks(&mut self) -> Vec<Event> {
        let mut all = std::mem::take(&mut self.looked_at);
        for set in [EvaluatedOn::Training, EvaluatedOn::Unseen] {
            let bare: Vec<usize> =
                (0..all.len()).filter(|i| all[*i].set == set && self.is_looked_for(&all[*i])).collect();
            let squares: Vec<&RgbImage> = bare.iter().map(|i| &all[*i].square).collect();
            let names: Vec<&str> = bare.iter().map(|i| all[*i].picture.picture.name.as_str()).collect();
            let maps: Vec<AttentionMap> = bare.iter().filter_map(|i| all[*i].map.clone()).collect();
            let maps = if maps.len() == bare.len() { maps } else { Vec::new() };
            for (i, (about, mask)) in bare.iter().zip(masks::find(&squares, &maps, &names)) {
                (all[*i].about, all[*i].mask) = (about, mask);
            }
        }
        let masks: Vec<MaskOf> = all.iter().map(|coming| coming.about.clone()).collect();
        let any = masks.iter().any(|mask| mask.origin != MaskOrigin::None);
        if any {
            let masked = |coming: &Coming| MaskedPicture { square: coming.square.clone(), mask: coming.mask.clone() };
            self.masked = all.iter().map(masked).collect();
        }
        // Nothing of what was behind a thing is left before a plain background.
        let is_gone = all.iter().filter(|coming| coming.mask.is_some()).all(|coming| self.is_put_before_others(coming));
        let outside = if is_gone { 0.0 } else { self.config.outside };
        let masked = all.iter().any(|coming| coming.mask.is_some());
        self.ready = all.into();
        let found = any.then_some(Event::Masks { outside, masks });
        found.into_iter().chain(masks::idle(&self.config, masked, is_gone)).collect()
    }

    /// Whether the thing of a picture is put before plain backgrounds: if it is known, and no caption says what is behind it.
    fn is_put_before_others(&self, coming: &Coming) -> bool {
        coming.mask.is_some() && coming.picture.caption.is_none() && !self.backgrounds.is_empty()
    }

    /// Encodes the views of a picture.
    async fn encode(
        &mut self,
        coming: Coming,
        learner: &Learner,
        describing: &Describing,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let (model, config) = (&*learner.model, &self.config);
        let backgrounds: Vec<Option<Colour>> = if self.is_put_before_others(&coming) {
            self.backgrounds.iter().copied().map(Some).collect()
        } else {
            vec![None]
        };
        let Coming { set, picture: TrainPicture { picture, caption, mask: given }, square, prepared, mask, .. } =
            coming;
        let encoder = encoder(&mut self.encoder, model, events).await?;
        let whole = masks::whole(&picture);
        let mut views = Vec::new();
        for colour in &backgrounds {
            let pixels = match (colour, &mask) {
                (Some(colour), Some(mask)) => Cow::Owned(before_plain(&square, mask, colour.example())),
                _ => Cow::Borrowed(&square),
            };
            for mirrored in [false, true].into_iter().take(if config.no_flip { 1 } else { 2 }) {
                let floats = to_floats(&*if mirrored { Cow::Owned(mirror(&pixels)) } else { Cow::Borrowed(&*pixels) });
                let mut view = encode(&floats, self.side as usize, &picture.name, encoder, model).await?;
                view.time_ids = time_ids(&picture, self.side, config.framing);
                view.weights = match (&given, &mask) {
                    // A mask must have something there for a plain background, too.
                    (Some(given), _) => {
                        let weights = masks::weights([given, &whole], &picture, config, view.size, mirrored)?;
                        Some(weights).filter(|_| colour.is_none())
                    }
                    _ if colour.is_some() => None,
                    (None, Some(found)) => {
                        // It is one of the square already.
                        let seen = square_mask(&whole, self.side, config.framing);
                        Some(masks::weights([found, &seen], &picture, config, view.size, mirrored)?)
                    }
                    (None, None) => None,
                };
                views.push(view);
            }
        }
        let dataset = if set == EvaluatedOn::Training { &mut self.training } else { &mut self.unseen };
        dataset.pictures.push(views);
        dataset.names.push(picture.name.clone());
        dataset.seen.push(if describing.is_wanted() { Seen::of(&square) } else { Seen::default() });
        dataset.captions.push(vec![caption; backgrounds.len()]);
        dataset.backgrounds.push(backgrounds);
        let done = (self.training.pictures.len() + self.unseen.pictures.len()) as u32;
        events.push(Event::Encode { done, total: done + self.ready.len() as u32, name: picture.name, prepared });
        Ok(())
    }
}

/// The encoder, which is loaded when the first picture needs it.
async fn encoder<'e>(
    encoder: &'e mut Option<VaeEncoder>,
    model: &Model,
    events: &mut Vec<Event>,
) -> Result<&'e VaeEncoder> {
    Ok(match encoder {
        Some(encoder) => encoder,
        missing => missing.insert(model.encoder(&mut |event| events.push(event)).await?),
    })
}

/// The posterior of one view, `[side, side, 3]`, of the picture `name`.
async fn encode(view: &[f32], side: usize, name: &str, encoder: &VaeEncoder, model: &Model) -> Result<CachedLatents> {
    let tensor = Tensor::<1>::from_floats(view, &model.device).reshape([1, side, side, 3]);
    let tile = tiling::TILE * model.config.vae.pixels_per_latent();
    let Map { size: size @ [h, w], channels, values } = tiling::encode(encoder, &tensor, tile).await?;
    if values.iter().any(|value| !value.is_finite()) {
        let reason = "the autoencoder gives NaN or infinite values for it".to_owned();
        return Err(Error::BadPicture { file: name.to_owned(), reason });
    }
    let mut mean = layout::channels_first(&values, [1, h, w, channels]);
    let std = mean.split_off(mean.len() / 2);
    Ok(CachedLatents { mean, std, size, time_ids: TimeIds::default(), weights: None })
}
