//! Arithmetic on what the U-Net sees of pictures: is there what the training pictures show, and does the rest of the prompt still decide?
//!
//! Nothing here is measured from a fixed point. Where a picture with the word has gone is said by what it would have been with the words that it
//! started from, of the same noise in the same scene; where it should have gone, by the pictures that were learned from.

/// What is known of a picture.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What the U-Net's first block makes of it: how it looks.
    pub look: Vec<f64>,
    /// What its middle makes of it: what it shows.
    pub shown: Vec<f64>,
    /// Its latents, each channel around its mean.
    pub latents: Vec<f32>,
}

/// How a word does in the scenes that it was tried in, one number for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tried {
    /// How far what a picture shows has moved towards the training pictures, and not elsewhere: the cosine between the two ways, from -1
    /// to 1.
    pub towards: Vec<f64>,
    /// How much of the way to the training pictures that is, in the mean: 0 where pictures are what they are without the word, 1 at the
    /// end.
    pub moved: f64,
    /// How far what sets a scene apart from others of the same noise is what it is without the word: a cosine, from -1 to 1.
    pub kept: Vec<f64>,
    /// Scenes that are taken for themselves among those of the same noise.
    pub recognised: usize,
    /// Pictures that are nearly a training picture.
    pub copies: usize,
}

/// How much of the way is enough: what a word has moved less counts in proportion. Of 37 words of the mini model that were learned to the
/// end, good or not, the least had gone 0.31 of it; and one that has hardly moved may well have moved in the right direction.
pub const ENOUGH: f64 = 0.3;

/// The correlation of latents from which on a picture counts as a copy of a training picture. Two views of one thing in front of different
/// backgrounds stay below it.
const COPY: f64 = 0.9;

impl Tried {
    /// Compares the pictures with the word with those without it, scene by scene; those of the same noise are `group` in a row.
    pub fn of(training: &[Seen], without: &[Seen], with: &[Seen], group: usize) -> Self {
        let start = mean(without.iter().map(|seen| &seen.shown));
        let way = less(&mean(training.iter().map(|seen| &seen.shown)), &start);
        let towards =
            with.iter().zip(without).map(|(with, without)| cosine(&less(&with.shown, &without.shown), &way)).collect();
        let ways = with.iter().zip(without).map(|(with, without)| share(&less(&with.shown, &without.shown), &way));
        let moved = ways.sum::<f64>() / with.len().max(1) as f64;
        let (mut kept, mut recognised) = (Vec::new(), 0);
        for (with, without) in with.chunks(group).zip(without.chunks(group)) {
            let apart = |pictures: &[Seen]| {
                let middle = mean(pictures.iter().map(|seen| &seen.look));
                pictures.iter().map(|seen| less(&seen.look, &middle)).collect::<Vec<_>>()
            };
            let (with, without) = (apart(with), apart(without));
            for (i, picture) in with.iter().enumerate() {
                let alike: Vec<f64> = without.iter().map(|other| cosine(picture, other)).collect();
                kept.push(alike[i]);
                recognised += usize::from(alike.iter().enumerate().all(|(j, other)| j == i || *other < alike[i]));
            }
        }
        let is_copy = |picture: &&Seen| training.iter().any(|other| likeness(&picture.latents, &other.latents) > COPY);
        let copies = with.iter().filter(is_copy).count();
        Self { towards, moved, kept, recognised, copies }
    }

    /// Of each scene, all in one number, from -1 to 1: what it shows counts as far as the rest of the prompt does, too, and if the word has
    /// moved at all.
    pub fn scores(&self) -> Vec<f64> {
        let far = (self.moved / ENOUGH).clamp(0.0, 1.0);
        self.towards.iter().zip(&self.kept).map(|(towards, kept)| towards * kept.max(0.0) * far).collect()
    }

    /// Whether there is anything but numbers in it.
    pub fn is_finite(&self) -> bool {
        self.towards.iter().chain(&self.kept).chain([&self.moved]).all(|value| value.is_finite())
    }
}

/// The mean of some numbers and its standard error; of fewer than two numbers the error is not known, and infinite.
pub fn mean_and_error(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    [mean, if count < 2.0 { f64::INFINITY } else { (variance / count).sqrt() }]
}

/// By how many of its standard errors the mean of what one has more than another, scene by scene, is above zero.
pub fn clearness(one: &[f64], other: &[f64]) -> f64 {
    let more: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
    let [mean, error] = mean_and_error(&more);
    if mean <= 0.0 { 0.0 } else { mean / error }
}

fn mean<'a>(vectors: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0.0);
    for vector in vectors {
        sum.resize(vector.len(), 0.0);
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    sum.iter_mut().for_each(|sum| *sum /= count);
    sum
}

fn less(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| a - b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How much of a way a vector goes; 0 where there is no way.
fn share(vector: &[f64], way: &[f64]) -> f64 {
    let length = dot(way, way);
    if length == 0.0 { 0.0 } else { dot(vector, way) / length }
}

/// Of a vector without length 0.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { 0.0 } else { dot(a, b) / lengths }
}

fn likeness(a: &[f32], b: &[f32]) -> f64 {
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    cosine(&wide(a), &wide(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(look: [f64; 3], shown: [f64; 3]) -> Seen {
        let latents = look.iter().chain(&shown).map(|value| *value as f32).collect();
        Seen { look: look.to_vec(), shown: shown.to_vec(), latents }
    }

    /// Four scenes that look different, of a thing.
    fn scenes(shown: [f64; 3]) -> Vec<Seen> {
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]].map(|look| seen(look, shown)).to_vec()
    }

    #[test]
    fn a_word_that_shows_the_thing_in_every_scene_has_all() {
        let (training, without) = (vec![seen([9.0; 3], [0.0, 5.0, 0.0])], scenes([5.0, 0.0, 0.0]));
        let tried = Tried::of(&training, &without, &scenes([2.0, 3.0, 0.0]), 2);
        assert!(tried.towards.iter().chain(&tried.kept).all(|value| (value - 1.0).abs() < 1e-9), "{tried:?}");
        assert_eq!((tried.recognised, tried.copies, tried.scores().len()), (4, 0, 4));
    }

    #[test]
    fn one_that_has_hardly_moved_has_hardly_anything_though_it_moved_in_the_right_direction() {
        let (training, without) = (vec![seen([9.0; 3], [0.0, 5.0, 0.0])], scenes([5.0, 0.0, 0.0]));
        for (moved, score) in [(0.03, 0.1), (0.15, 0.5), (0.3, 1.0), (0.9, 1.0)] {
            let tried = Tried::of(&training, &without, &scenes([5.0 - 5.0 * moved, 5.0 * moved, 0.0]), 4);
            assert!((tried.moved - moved).abs() < 1e-9 && tried.towards[0] > 0.999, "{tried:?}");
            assert!(tried.scores().iter().all(|own| (own - score).abs() < 1e-9), "{:?}", tried.scores());
        }
    }

    #[test]
    fn one_that_leads_elsewhere_or_nowhere_has_nothing() {
        let (training, without) = (vec![seen([9.0; 3], [0.0, 5.0, 0.0])], scenes([5.0, 0.0, 0.0]));
        let elsewhere = Tried::of(&training, &without, &scenes([5.0, 0.0, 7.0]), 4);
        let nowhere = Tried::of(&training, &without, &without, 4);
        assert_eq!((elsewhere.towards, nowhere.towards), (vec![0.0; 4], vec![0.0; 4]));
    }

    #[test]
    fn one_that_makes_the_same_picture_of_every_prompt_keeps_nothing_and_is_seen_to_copy() {
        let picture = seen([9.0, 8.0, 7.0], [0.0, 5.0, 0.0]);
        let tried = Tried::of(std::slice::from_ref(&picture), &scenes([5.0, 0.0, 0.0]), &vec![picture.clone(); 4], 4);
        assert_eq!((tried.recognised, tried.copies), (0, 4));
        assert_eq!(tried.scores(), vec![0.0; 4]);
        assert!(tried.towards.iter().all(|value| *value > 0.9), "it shows the thing: {tried:?}");
    }

    #[test]
    fn what_is_not_a_number_is_known() {
        let broken = seen([f64::NAN; 3], [1.0; 3]);
        assert!(!Tried::of(&scenes([1.0; 3]), &scenes([2.0; 3]), &vec![broken; 4], 4).is_finite());
    }

    #[test]
    fn one_is_clearly_more_than_another_where_it_is_so_in_every_scene() {
        assert_eq!(mean_and_error(&[1.0, 3.0]), [2.0, 1.0]);
        assert!(clearness(&[0.5, 0.6, 0.7], &[0.4, 0.5, 0.59]) > 10.0);
        assert!(clearness(&[0.5, 0.1, 0.7], &[0.4, 0.5, 0.1]) < 1.0);
        assert_eq!(clearness(&[0.1, 0.1], &[0.2, 0.3]), 0.0);
        // A single scene says nothing about others.
        assert_eq!(clearness(&[0.9], &[0.1]), 0.0);
    }
}
