//! Captions that are made from the pictures themselves: they say what the word need not stand for.
//!
//! What can be seen without a model is taken from the pixels ([`Seen`](crate::image::Seen)), the rest is asked of the model that is trained with
//! (`opinion`), in phrases that its family knows (`words`). What is not clear is left out; where nothing is clear, no caption is
//! made, and the picture is learned with the sentences of its kind.

mod opinion;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use self::opinion::{Losses, Proposal};
pub(super) use self::words::Phrases;
use self::words::{Said, Scene};
use super::TrainInput;
use super::dataset::{CachedLatents, Dataset};
use super::learner::Learner;
use super::state::RunState;
use super::templates::fill;
use super::words::Words;
use crate::Result;
use crate::config::{Init, Kind, TrainConfig};
use crate::event::{CaptionPart, Event, Judge, Slot};
use crate::image::Colour;
use crate::noise::Noise;

/// What a run's state has them under.
const KEY: &str = "made captions";

/// Before each plain background a thing is looked at so often at least.
const DRAWS_BEFORE_EACH: usize = 4;

/// So many pictures are all made as one thing if the model says so of each.
const UNANIMOUS: usize = 3;

/// A caption that was made from a picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct MadeCaption {
    /// With `{}` for the word; none where nothing was clear.
    caption: Option<String>,
    parts: Vec<CaptionPart>,
    /// Of a picture that is seen before several backgrounds, the caption with each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    with_backgrounds: Vec<String>,
}

impl MadeCaption {
    /// For each background of the picture.
    fn each(&self) -> Vec<Option<String>> {
        if self.with_backgrounds.is_empty() {
            return vec![self.caption.clone()];
        }
        self.with_backgrounds.iter().cloned().map(Some).collect()
    }
}

/// A picture whose caption is being made.
struct Look {
    /// The set, 0 for training and 1 for unseen, and the place in it.
    at: (usize, usize),
    scene: Scene,
    /// What it can be made as, and the losses with each.
    media: &'static [&'static str],
    losses: Losses,
    /// The plain backgrounds that it is seen before; none if it is seen as it is.
    backgrounds: Vec<Colour>,
}

/// The making of captions for the pictures of a run that have none.
pub(super) struct Describing {
    said: Said,
    noise: Noise,
    /// What stands for the thing while the model is asked.
    thing: Option<String>,
    /// Whether there is anything to do.
    wanted: bool,
    /// The pictures without captions that are still to be looked at, once that is known.
    waiting: Option<VecDeque<(usize, usize)>>,
    /// Those that were.
    looks: VecDeque<Look>,
    /// What was made, by set and place. A run that resumes takes them from its state: on another device a close decision might
    /// be another.
    made: BTreeMap<String, MadeCaption>,
}

impl Describing {
    pub fn new(config: &TrainConfig, input: &TrainInput, words: &Words) -> Self {
        let thing = words.thing();
        let said = match (words.pair(), thing.kind) {
            (Some(true), _) => Said::Both,
            (Some(false), _) => Said::BothStyleFirst,
            (None, kind) => Said::One(kind),
        };
        let thing = match &thing.init {
            Init::Phrase(phrase) => Some(phrase.clone()),
            // Whose rows the token has until the first step.
            Init::Embedding(_) => Some(thing.token.clone()),
            Init::Random => None,
        };
        Self {
            said,
            noise: Noise::new(config.seed),
            thing,
            wanted: input.makes_captions(),
            waiting: None,
            looks: VecDeque::new(),
            made: BTreeMap::new(),
        }
    }

    /// Whether any are to be made.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Looks at the next picture that has no caption or, once all were looked at, makes the next caption; none if all are made.
    /// The sets are those that are trained on and the unseen.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn next(&mut self, sets: [&mut Dataset; 2], learner: &Learner) -> Result<Option<Event>> {
        if !self.wanted {
            return Ok(None);
        }
        let [training, unseen] = sets;
        if self.waiting.is_none() {
            self.waiting = Some(self.restored([training, unseen]));
        }
        let waiting = self.waiting.get_or_insert_default();
        if let Some(at) = waiting.pop_front() {
            let left = waiting.len();
            let set = if at.0 == 0 { &*training } else { &*unseen };
            self.looks.push_back(self.look(at, set, learner).await?);
            let done = self.looks.len();
            if left == 0 && Phrases::of(&learner.model.config).has_biases() {
                self.compare();
            }
            let name = set.names[at.1].clone();
            return Ok(Some(Event::Describe { done: done as u32, total: (done + left) as u32, name }));
        }
        let Some(look) = self.looks.pop_front() else { return Ok(None) };
        let set = if look.at.0 == 0 { training } else { unseen };
        let made = self.finish(&look, &set.pictures[look.at.1][0], learner).await?;
        set.captions[look.at.1] = made.each();
        self.made.insert(key(look.at), made.clone());
        let name = set.names[look.at.1].clone();
        Ok(Some(Event::Caption { name, caption: made.caption, parts: made.parts }))
    }

    /// Gives pictures the captions that were made before; what is left is without.
    fn restored(&self, sets: [&mut Dataset; 2]) -> VecDeque<(usize, usize)> {
        let mut left = VecDeque::new();
        for (number, set) in sets.into_iter().enumerate() {
            let bare = |(_, captions): &(usize, &mut Vec<Option<String>>)| captions.iter().any(Option::is_none);
            for (i, captions) in set.captions.iter_mut().enumerate().filter(bare) {
                match self.made.get(&key((number, i))) {
                    Some(made) => *captions = made.each(),
                    None => left.push_back((number, i)),
                }
            }
        }
        left
    }

    /// What is seen of a picture, and what the model thinks that it may be made as.
    async fn look(&self, at: (usize, usize), set: &Dataset, learner: &Learner) -> Result<Look> {
        let (phrases, seen) = (Phrases::of(&learner.model.config), &set.seen[at.1]);
        let backgrounds: Vec<Colour> = set.backgrounds[at.1].iter().flatten().copied().collect();
        let plain = seen.background.filter(|plain| backgrounds.is_empty() && phrases.colour(plain.colour).is_some());
        let scene = Scene { plain, ..Scene::default() };
        // A style is what the picture is made as: that is to be learned, and not to be said.
        let media = if self.said == Said::One(Kind::Object) { phrases.media(seen.is_grey) } else { &[] };
        let captions = |scene: Scene| -> Vec<String> {
            media.iter().map(|medium| self.sentence(phrases, &Scene { medium: Some(medium), ..scene })).collect()
        };
        let before = |(i, colour): (usize, &Colour)| (set.view(at.1, i, false), captions(scene.before(*colour)));
        let mut views: Vec<Proposal<'_>> = backgrounds.iter().enumerate().map(before).collect();
        if views.is_empty() {
            views.push((set.view(at.1, 0, false), captions(scene)));
        }
        let draws = phrases.draws().max(DRAWS_BEFORE_EACH * backgrounds.len());
        let losses = opinion::losses(learner, self.noise, &views, draws).await?;
        Ok(Look { at, scene, media, losses, backgrounds })
    }

    /// Compares the losses of pictures of a set that may be made as the same things, unless the model is sure that they are all
    /// made as one: what a caption does to all of them would then be taken away, and be just that. On backgrounds that it does
    /// not know the mini model is sure of the wrong thing.
    fn compare(&mut self) {
        let groups: BTreeSet<_> = self.looks.iter().map(Look::group).collect();
        for group in groups {
            let own: Vec<usize> = (0..self.looks.len()).filter(|i| self.looks[*i].group() == group).collect();
            let found = own.iter().map(|i| &self.looks[*i]).filter(|look| look.is_on_plain());
            let found: Vec<usize> =
                found.filter_map(|look| opinion::clearly_least(&look.losses)).map(|best| best.index).collect();
            if let [alone] = own[..] {
                // There is nothing to compare it with, and it would be wrong too often.
                self.looks[alone].losses.clear();
                continue;
            }
            if found.len() >= UNANIMOUS && found.iter().all(|index| *index == found[0]) {
                continue;
            }
            let losses: Vec<&Losses> = own.iter().map(|i| &self.looks[*i].losses).collect();
            for (i, compared) in own.into_iter().zip(opinion::compared(&losses)) {
                self.looks[i].losses = compared;
            }
        }
    }

    /// The caption of a picture that was looked at.
    async fn finish(&self, look: &Look, view: &CachedLatents, learner: &Learner) -> Result<MadeCaption> {
        let phrases = Phrases::of(&learner.model.config);
        let (mut scene, mut parts) = (look.scene, Vec::new());
        if let Some(best) = opinion::clearly_least(&look.losses) {
            scene.medium = Some(look.media[best.index]);
            let words = look.media[best.index].to_owned();
            parts.push(CaptionPart { slot: Slot::Medium, words, by: Judge::Model, sure: best.sure });
        }
        if !look.backgrounds.is_empty() {
            let caption = phrases.sentence(self.said, &scene);
            let with = |colour: &Colour| phrases.sentence(self.said, &scene.before(*colour));
            let with_backgrounds = look.backgrounds.iter().map(with).collect();
            return Ok(MadeCaption { caption: Some(caption), parts, with_backgrounds });
        }
        if let Some((plain, colour)) = scene.plain.and_then(|plain| Some((plain, phrases.colour(plain.colour)?))) {
            let words = format!("{colour} background");
            parts.push(CaptionPart { slot: Slot::Background, words, by: Judge::Pixels, sure: f64::from(plain.share) });
        } else if !phrases.places().is_empty() {
            // To say nothing has to be clearly worse, too.
            let places: Vec<Option<&str>> = phrases.places().iter().map(|place| Some(*place)).chain([None]).collect();
            let captions: Vec<String> =
                places.iter().map(|place| self.sentence(phrases, &Scene { place: *place, ..scene })).collect();
            let losses = opinion::losses(learner, self.noise, &[(view, captions)], phrases.draws()).await?;
            let best = opinion::clearly_least(&losses);
            if let Some((place, best)) = best.and_then(|best| Some((places[best.index]?, best))) {
                scene.place = Some(place);
                let words = place.to_owned();
                parts.push(CaptionPart { slot: Slot::Background, words, by: Judge::Model, sure: best.sure });
            }
        }
        let caption = (!parts.is_empty()).then(|| phrases.sentence(self.said, &scene));
        Ok(MadeCaption { caption, parts, with_backgrounds: Vec::new() })
    }

    /// What the model is asked about: the sentence for a scene with the thing in it.
    fn sentence(&self, phrases: Phrases, scene: &Scene) -> String {
        fill(&phrases.sentence(Said::One(Kind::Object), scene), self.thing.as_deref().unwrap_or(phrases.something()))
    }

    /// Writes itself into a state.
    pub fn save(&self, state: &mut RunState) {
        if self.wanted {
            state.put(KEY, &self.made);
        }
    }

    /// Reads itself back.
    ///
    /// # Errors
    /// Those of a state that was not written by this program.
    pub fn restore(&mut self, state: &RunState) -> Result<()> {
        self.made = state.get_or_default(KEY)?;
        Ok(())
    }
}

impl Look {
    /// What it may be compared with: pictures of the same set with the same list that were looked at as often.
    fn group(&self) -> (usize, &'static [&'static str], usize) {
        (self.at.0, self.media, self.backgrounds.len())
    }

    /// Whether the thing was before a plain background.
    fn is_on_plain(&self) -> bool {
        self.scene.plain.is_some() || !self.backgrounds.is_empty()
    }
}

/// Under which name a picture's caption is kept.
fn key((set, i): (usize, usize)) -> String {
    format!("{} {i}", ["training", "unseen"][set])
}
