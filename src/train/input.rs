//! What an embedding is learned from, beside its settings.

use image::GrayImage;

use super::Replay;
use crate::config::{Init, Masks, TrainConfig, WordConfig};
use crate::embedding::ModelFamily;
use crate::image::Picture;

/// What an embedding is learned from.
#[derive(Debug, Clone, Default)]
pub struct TrainInput {
    /// The pictures.
    pub pictures: Vec<TrainPicture>,
    /// Pictures of the same thing that are held out from training: the loss on them is reported too.
    pub unseen: Vec<TrainPicture>,
    /// Caption templates with `{}` where the placeholder token goes, and `{2}` where that of a second word does; none means those of the
    /// kind.
    pub templates: Option<Vec<String>>,
    /// What the vectors start from; none means what the configuration's initializer says, taken as a phrase.
    pub init: Option<Init>,
    /// The same for the second word, where there is one.
    pub second_init: Option<Init>,
    /// Whether captions are made for pictures that have none.
    pub make_captions: MakeCaptions,
    /// Every random choice, taken from a file instead of drawn.
    pub replay: Option<Replay>,
    /// Whether to keep every random choice for [`TrainJob::record`].
    pub record: bool,
    /// Whether only the work is of interest: a first gradient of zero does not end the run then. For measurements, also on
    /// a device that computes nothing.
    pub only_work: bool,
}

/// Whether captions are made from the pictures that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MakeCaptions {
    /// No: the templates are used.
    #[default]
    Never,
    /// Where that is usual for the model, unless there are templates of the user's own; a run that was begun without them goes on
    /// without them.
    Usually,
    /// Yes.
    Always,
    /// Yes, and before the first step whatever the model: for whoever only wants captions.
    AtOnce,
}

impl TrainInput {
    /// Without masks that the settings forbid, and with captions made or not as is usual for a model of the family.
    pub(super) fn decided(mut self, config: &TrainConfig, family: ModelFamily) -> Self {
        if config.masks == Some(Masks::Off) {
            self.pictures.iter_mut().chain(&mut self.unseen).for_each(|picture| picture.mask = None);
        }
        if self.make_captions == MakeCaptions::Usually && !family.training().makes_captions {
            self.make_captions = MakeCaptions::Never;
        }
        self
    }

    /// What each word starts from.
    pub fn inits(&self, config: &TrainConfig) -> Vec<Init> {
        let given = [self.init.as_ref(), self.second_init.as_ref()];
        let init = |(word, given): (WordConfig<'_>, Option<&Init>)| {
            given.cloned().unwrap_or_else(|| Init::of_phrase(word.init))
        };
        config.words().zip(given).map(init).collect()
    }

    /// Whether there are pictures that captions are made for.
    pub fn makes_captions(&self) -> bool {
        let may = match self.make_captions {
            MakeCaptions::Never => false,
            MakeCaptions::Usually => self.templates.is_none(),
            MakeCaptions::Always | MakeCaptions::AtOnce => true,
        };
        // A replay has captions of its own.
        let without = || self.pictures.iter().chain(&self.unseen).any(|picture| picture.caption.is_none());
        may && self.replay.is_none() && without()
    }
}

/// A picture, and perhaps what it shows and where.
#[derive(Debug, Clone)]
pub struct TrainPicture {
    /// The picture.
    pub picture: Picture,
    /// Its own caption, with `{}` where the placeholder token goes, and `{2}` where that of a second word does.
    pub caption: Option<String>,
    /// What of it is the thing: white where it is, black outside, grey in between; as large as the picture. It weights the loss
    /// (`train/masks.rs`). None: all of the picture counts alike, and what padding adds, too.
    pub mask: Option<GrayImage>,
}
