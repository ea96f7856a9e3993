//! Captions that are made from the pictures themselves: they say what the word need not stand for.
//!
//! What can be seen without a model is taken from the pixels ([`Seen`](crate::image::Seen)), the rest is asked of the model that is trained with
//! (`opinion`), in phrases that its family knows (`words`). What is not clear is left out; where nothing is clear, no caption is
//! made, and the picture is learned with the sentences of its kind.
//!
//! A small model is surprised by a thing that it does not know, in each style otherwise, and takes its surprise for the
//! style. A run asks it what pictures are made as when the word says what the thing is, after a quarter of the steps; until
//! then captions say nothing of that.

mod opinion;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use self::opinion::{Losses, Proposal};
pub(super) use self::words::Phrases;
use self::words::{Said, Scene};
use super::dataset::{CachedLatents, Dataset};
use super::learner::Learner;
use super::state::RunState;
use super::templates::fill;
use super::words::Words;
use super::{MakeCaptions, TrainInput};
use crate::Result;
use crate::config::{Init, Kind, TrainConfig};
use crate::event::{CaptionPart, Event, Judge, Slot};
use crate::image::Colour;
use crate::model::ModelConfig;
use crate::noise::Noise;

/// What a run's state has them under, and those that were made once the word was known a little.
const KEYS: [&str; 2] = ["made captions", "captions made with the word"];
/// What a run's state has the step under after which the model is asked what pictures are made as.
const ASKED_AFTER: &str = "captions are made with the word after";

/// What the sets are called in it.
const SETS: [&str; 2] = ["training", "unseen"];

/// After so much of the steps a word says enough of its thing, and after so many at least. Runs of fewer than twice as many have no
/// use for it: they ask before the first.
const KNOWN_AFTER: f64 = 0.25;
const STEPS_TO_KNOW: u32 = 50;

/// Before each plain background a thing is looked at so often at least.
const DRAWS_BEFORE_EACH: usize = 4;

/// So many pictures are all made as one thing if the model says so of each.
const UNANIMOUS: usize = 3;
/// How much of what captions do to the losses may be the same for all pictures, beside what they do to each. Where it is more, the
/// pictures are alike, and what is the same is what they are made as.
const ALIKE: f64 = 2.0;

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
    /// The new token.
    token: String,
    /// Whether there is anything to do.
    wanted: bool,
    /// After how many steps the model is asked what the pictures are made as; none if it is before the first.
    asked_after: Option<u32>,
    /// Whether it is asked after them now.
    knows_word: bool,
    /// The pictures without captions that are still to be looked at, once that is known.
    waiting: Option<VecDeque<(usize, usize)>>,
    /// Those that were.
    looks: VecDeque<Look>,
    /// What was made before the first step, by set and place. A run that resumes takes them from its state: on another device a
    /// close decision might be another.
    made: BTreeMap<String, MadeCaption>,
    /// The same for what was made with the word.
    made_later: BTreeMap<String, MadeCaption>,
}

impl Describing {
    pub fn new(config: &TrainConfig, input: &TrainInput, words: &Words, model: &ModelConfig) -> Self {
        let thing = words.thing();
        let said = match (words.pair(), thing.kind) {
            (Some(true), _) => Said::Both,
            (Some(false), _) => Said::BothStyleFirst,
            (None, kind) => Said::One(kind),
        };
        let is_later = Phrases::of(model).has_biases() && said == Said::One(Kind::Object);
        let is_later = is_later && input.make_captions != MakeCaptions::AtOnce && config.steps() >= 2 * STEPS_TO_KNOW;
        let quarter = (f64::from(config.steps()) * KNOWN_AFTER) as u32;
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
            token: config.token.clone(),
            wanted: input.makes_captions(),
            asked_after: is_later.then_some(quarter.max(STEPS_TO_KNOW)),
            knows_word: false,
            waiting: None,
            looks: VecDeque::new(),
            made: BTreeMap::new(),
            made_later: BTreeMap::new(),
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
        loop {
            let event = self.look_or_finish([training, unseen], learner).await?;
            // What counts only until the word is known is not worth telling.
            if event.is_none() || self.asked_after.is_none() {
                return Ok(event);
            }
        }
    }

    /// Whether the model is asked now what the pictures are made as.
    fn is_asked(&self) -> bool {
        self.knows_word || self.asked_after.is_none()
    }

    /// Whether captions of training pictures are to be made with the word, now that so many steps are made and more are to come.
    pub fn is_due(&self, step: u32) -> bool {
        self.asked_after == Some(step) && self.of_training().any(|name| !self.made_later.contains_key(&name))
    }

    /// Makes captions of the training pictures with the word, as [`next`](Self::next) does without.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn next_later(&mut self, training: &mut Dataset, learner: &Learner) -> Result<Option<Event>> {
        if !self.knows_word {
            self.knows_word = true;
            self.thing = Some(self.token.clone());
            let is_bare = |i: &usize| self.made.contains_key(&key((0, *i)));
            self.waiting = Some((0..training.names.len()).filter(is_bare).map(|i| (0, i)).collect());
        }
        self.look_or_finish([training, &mut Dataset::default()], learner).await
    }

    /// Gives training pictures the captions that were made with the word before.
    pub fn restore_later(&self, training: &mut Dataset) {
        for (i, captions) in training.captions.iter_mut().enumerate() {
            if let Some(made) = self.made_later.get(&key((0, i))) {
                *captions = made.each();
            }
        }
    }

    /// The names of the training pictures that captions are made for.
    fn of_training(&self) -> impl Iterator<Item = String> {
        let [training, _] = SETS;
        self.made.keys().filter(move |name| name.starts_with(training)).cloned()
    }

    async fn look_or_finish(&mut self, sets: [&mut Dataset; 2], learner: &Learner) -> Result<Option<Event>> {
        let [training, unseen] = sets;
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
        let all = if self.knows_word { &mut self.made_later } else { &mut self.made };
        all.insert(key(look.at), made.clone());
        let name = set.names[look.at.1].clone();
        let phrases = Phrases::of(&learner.model.config);
        let backgrounds =
            look.backgrounds.iter().filter_map(|colour| phrases.colour(*colour)).map(str::to_owned).collect();
        Ok(Some(Event::Caption { name, caption: made.caption, parts: made.parts, backgrounds }))
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
        let names_medium = self.said == Said::One(Kind::Object) && self.is_asked();
        let media = if names_medium { phrases.media(seen.is_grey) } else { &[] };
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

    /// Compares the losses of pictures of a set that may be made as the same things, unless they are all made as one: what a caption
    /// does to all of them would then be taken away, and be just that. Whether they are is seen by how much is the same for all
    /// if the word says what the thing is; otherwise the model has to be sure of it, on backgrounds that it knows.
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
            let losses: Vec<&Losses> = own.iter().map(|i| &self.looks[*i].losses).collect();
            let as_one = if self.knows_word {
                opinion::common_share(&losses) > ALIKE
            } else {
                found.len() >= UNANIMOUS && found.iter().all(|index| *index == found[0])
            };
            if as_one {
                continue;
            }
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
            state.put(KEYS[0], &self.made);
            state.put(KEYS[1], &self.made_later);
            state.put(ASKED_AFTER, &self.asked_after);
        }
    }

    /// Reads itself back.
    ///
    /// # Errors
    /// Those of a state that was not written by this program.
    pub fn restore(&mut self, state: &RunState) -> Result<()> {
        self.made = state.get_or_default(KEYS[0])?;
        self.made_later = state.get_or_default(KEYS[1])?;
        // Of older versions, which asked before the first step, and of runs that were to have fewer steps.
        self.asked_after = state.get_or_default(ASKED_AFTER)?;
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
    format!("{} {i}", SETS[set])
}
