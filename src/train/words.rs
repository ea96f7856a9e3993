//! The words that a run learns, each with what it starts from: one, or two of the same pictures, such as a thing and its style
//! (Break-A-Scene, SIGGRAPH Asia 2023, arXiv 2305.16311; CoRe, AAAI 2025).
//!
//! Sentences have a slot for each. A sentence with one word only says nothing of the other: the other's gradient is zero. What tells two
//! words apart is where they stand, and what else the sentences say.

use super::TrainInput;
use super::templates::{self, PAIR, SECOND_SLOT, fill_all, places, swapped};
use crate::config::{Init, Kind, TrainConfig, WordSettings};

/// A word that a run learns.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub token: String,
    pub kind: Kind,
    pub init: Init,
    pub vectors: usize,
    /// What it can be set by.
    pub settings: WordSettings,
}

impl Word {
    /// The words that it starts from, if there are any.
    pub fn phrase(&self) -> Option<&str> {
        match &self.init {
            Init::Phrase(phrase) => Some(phrase),
            Init::Embedding(_) | Init::Random => None,
        }
    }
}

/// The words of a run, in the order of their rows.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<Word>);

impl Words {
    pub fn new(config: &TrainConfig, input: &TrainInput) -> Self {
        let word = |((word, init), settings): ((crate::config::WordConfig<'_>, Init), WordSettings)| Word {
            token: word.token.to_owned(),
            kind: word.kind,
            init,
            vectors: word.vectors as usize,
            settings,
        };
        Self(config.words().zip(input.inits(config)).zip(WordSettings::OF_EACH).map(word).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Word> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn tokens(&self) -> Vec<&str> {
        self.0.iter().map(|word| word.token.as_str()).collect()
    }

    /// The word that masks are of, and that captions are made around: the first of a thing, or the only one.
    pub fn thing(&self) -> &Word {
        self.0.iter().find(|word| word.kind == Kind::Object).unwrap_or(&self.0[0])
    }

    /// Whether they are a thing and a style, and if so whether the thing is the first.
    pub fn pair(&self) -> Option<bool> {
        pair(self.0.iter().map(|word| word.kind))
    }

    /// A sentence with the tokens in the places of the slots.
    pub fn fill(&self, sentence: &str) -> String {
        fill_all(sentence, &self.tokens())
    }

    /// The words that all start from, if all start from words.
    pub fn phrases(&self) -> Option<Vec<String>> {
        self.0.iter().map(|word| word.phrase().map(str::to_owned)).collect()
    }

    /// A sentence that has both words, with only one of them and in place of the other what it starts from; none if it does not have both,
    /// or the other does not start from words.
    pub fn alone(&self, sentence: &str, kept: usize) -> Option<String> {
        let both = self.len() > 1 && places(sentence, self.len()).iter().all(|has| *has);
        let other = self.0.get(1 - kept.min(1)).filter(|_| both)?.phrase()?;
        Some(if kept == 0 { sentence.replace(SECOND_SLOT, other) } else { templates::fill(sentence, other) })
    }

    /// Whether the mask of a thing says what of a picture counts beside a sentence. Where a style is all that is learned from it, everything
    /// of the picture does.
    pub fn counts_by_mask(&self, sentence: &str) -> bool {
        let named = self.0.iter().zip(places(sentence, self.len())).filter(|(_, has)| *has);
        self.len() == 1 || named.into_iter().any(|(word, _)| word.kind == Kind::Object)
    }

    /// The numbers of some rows by word, which have so many each.
    pub fn apart<'r>(&self, rows: &'r [f32], width: usize) -> Vec<&'r [f32]> {
        let mut rest = rows;
        let mut next = |word: &Word| {
            let (own, others) = rest.split_at(word.vectors * width);
            rest = others;
            own
        };
        self.0.iter().map(&mut next).collect()
    }
}

/// Whether two words are a thing and a style, and if so whether the thing is the first.
pub(super) fn pair(kinds: impl Iterator<Item = Kind>) -> Option<bool> {
    match kinds.collect::<Vec<_>>()[..] {
        [Kind::Object, Kind::Style] => Some(true),
        [Kind::Style, Kind::Object] => Some(false),
        _ => None,
    }
}

/// The sentences that pictures are shown with which have no caption. None of two words of one kind: nothing would say which is which.
pub(super) fn sentences(config: &TrainConfig) -> Vec<String> {
    let kinds: Vec<Kind> = config.words().map(|word| word.kind).collect();
    let owned = |sentences: &[&str]| sentences.iter().map(|sentence| (*sentence).to_owned()).collect();
    match (&kinds[..], pair(kinds.iter().copied())) {
        ([kind], _) => owned(templates::templates(*kind)),
        (_, Some(true)) => owned(&PAIR),
        (_, Some(false)) => PAIR.iter().map(|sentence| swapped(sentence)).collect(),
        (_, None) => Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A thing and a style, or the other way round.
    pub fn fox_and_ink(kind: Kind) -> TrainConfig {
        TrainConfig {
            token: "<fox>".to_owned(),
            init: Some("cat".to_owned()),
            vectors: Some(2),
            kind,
            second_token: Some("<ink>".to_owned()),
            second_init: Some("flat".to_owned()),
            second_vectors: Some(1),
            ..TrainConfig::default()
        }
    }

    fn words(config: &TrainConfig) -> Words {
        Words::new(config, &TrainInput::default())
    }

    #[test]
    fn one_word_stays_and_the_other_is_what_it_starts_from() {
        let both = words(&fox_and_ink(Kind::Object));
        let alone = |sentence, kept| both.alone(sentence, kept);
        assert_eq!(alone("a {}, {2} style", 0).as_deref(), Some("a {}, flat style"));
        assert_eq!(alone("a {}, {2} style", 1).as_deref(), Some("a cat, {2} style"));
        assert_eq!((alone("a {}", 0), alone("a {2}", 1)), (None, None));
        let random = words(&TrainConfig { second_init: None, ..fox_and_ink(Kind::Object) });
        assert_eq!(random.alone("a {}, {2} style", 0), None);
        assert!(random.alone("a {}, {2} style", 1).is_some() && random.phrases().is_none());
        let one = words(&TrainConfig { second_token: None, ..fox_and_ink(Kind::Object) });
        assert_eq!(one.alone("a {}, {2} style", 0), None);
    }

    #[test]
    fn masks_count_where_the_thing_is_named() {
        let both = words(&fox_and_ink(Kind::Style));
        assert_eq!(both.thing().token, "<ink>");
        assert!(both.counts_by_mask("a {2}, {} style") && both.counts_by_mask("a {2}"));
        assert!(!both.counts_by_mask("a cat, {} style"));
        // As ever: whoever gives one to a style alone wants it to count.
        let one = words(&TrainConfig { second_token: None, ..fox_and_ink(Kind::Style) });
        assert!(one.counts_by_mask("a cat, {} style"));
    }

    #[test]
    fn the_rows_of_each_word_lie_together() {
        let both = words(&fox_and_ink(Kind::Object));
        assert_eq!(both.apart(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2), [&[1.0, 2.0, 3.0, 4.0][..], &[5.0, 6.0][..]]);
    }

    #[test]
    fn sentences_are_for_both_words_whichever_is_the_thing() {
        let first = |config: &TrainConfig| sentences(config).first().map(|first| words(config).fill(first));
        let said = "a picture of a <fox> in the style of <ink>";
        assert_eq!(first(&fox_and_ink(Kind::Object)).as_deref(), Some(said));
        let swapped = "a picture of a <ink> in the style of <fox>";
        assert_eq!(first(&fox_and_ink(Kind::Style)).as_deref(), Some(swapped));
        let same = TrainConfig { second_kind: Some(Kind::Object), ..fox_and_ink(Kind::Object) };
        assert_eq!(first(&same), None);
        let one = TrainConfig { second_token: None, ..same };
        assert_eq!(first(&one).as_deref(), Some("a photo of a <fox>"));
    }
}
