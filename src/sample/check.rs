//! Which settings pictures can be made with, and what about them and a prompt a user should know: all of it without
//! weights, so that a front end can ask before it loads them. A job asks for those that do not.

use super::LONGEST_SIDE;
use super::usual::with_usual;
use crate::base::text::{beginning, quoted};
use crate::config::{EmptyNegative, PromptSyntax, SampleConfig};
use crate::event::{Event, WarningCode};
use crate::model::ModelConfig;
use crate::parts::Architecture;
use crate::schedule::Sampler;
use crate::setting::Setting;
use crate::text::aliases::{Unclear, prefixed};
use crate::text::{ClipTokenizer, LONGEST, Tokenizers, Tokens};
use crate::{Error, Result};

/// Pictures that are asked for at once, and those that are denoised together: more is a slip of the finger.
const MOST_PICTURES: u32 = 10_000;
const MOST_TOGETHER: u32 = 10_000;
/// Beyond this all guidance gives noise, or numbers that are not finite.
const MOST_GUIDANCE: f64 = 1000.0;

/// Refuses numbers that are out of range for every model.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn check_numbers(config: &SampleConfig) -> Result<()> {
    let refused = |setting, given: String, rule: String| Err(Error::OutOfRange { setting, given, rule });
    let counts = [
        (Setting::Count, Some(config.count), MOST_PICTURES),
        (Setting::BatchSize, Some(config.batch_size), MOST_TOGETHER),
        (Setting::Steps, config.steps, u32::MAX),
        (Setting::ClipSkip, Some(config.clip_skip), u32::MAX),
        (Setting::Width, config.width, LONGEST_SIDE),
        (Setting::Height, config.height, LONGEST_SIDE),
    ];
    for (setting, value, most) in counts {
        if let Some(value) = value.filter(|value| *value == 0 || *value > most) {
            let up_to = if most == u32::MAX { String::new() } else { format!(", and at most {most}") };
            return refused(setting, value.to_string(), format!("at least 1{up_to}"));
        }
    }
    if !(0.0..=MOST_GUIDANCE).contains(&config.guidance()) {
        let rule = format!("a number from 0 to {MOST_GUIDANCE}; up to 1 guidance is off");
        return refused(Setting::Guidance, config.guidance().to_string(), rule);
    }
    let last = u64::MAX - u64::from(config.count - 1);
    if config.seed > last {
        let rule = format!("at most {last} for {} {}, whose seeds count up", Setting::Count, config.count);
        return refused(Setting::Seed, config.seed.to_string(), rule);
    }
    Ok(())
}

/// Refuses settings that do not make sense for a model; gives the height and width of the latents.
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::Usage`].
pub fn check(config: &SampleConfig, model: &ModelConfig) -> Result<[usize; 2]> {
    check_numbers(config)?;
    let config = &with_usual(config, model);
    let (step, [height, width]) = (model.size_step(), model.picture_size());
    let side = |given: Option<u32>, own: u32, setting: Setting| {
        let side = given.unwrap_or(own);
        if side.is_multiple_of(step) && side <= LONGEST_SIDE {
            return Ok(side as usize / model.vae.pixels_per_latent());
        }
        let rule = format!("a multiple of {step} up to {LONGEST_SIDE} for this model");
        Err(Error::OutOfRange { setting, given: side.to_string(), rule })
    };
    // The width first: where a front end sets both as one, that is the one it has a name for.
    let width = side(config.width, width, Setting::Width)?;
    let size = [side(config.height, height, Setting::Height)?, width];
    Sampler::new(config.sampler(), config.karras, &model.scheduler, config.steps() as usize)?;
    if let Some(layers) = model.clip_layers().filter(|layers| config.clip_skip as usize > *layers) {
        let rule = format!("at most {layers} for this model, whose text encoder has so many layers");
        return Err(Error::OutOfRange { setting: Setting::ClipSkip, given: config.clip_skip.to_string(), rule });
    }
    Ok(size)
}

/// The settings with what is usual for the model and what its own files decide, and without those that have no part in its pictures: all that is needed to
/// make them again.
pub fn decided(config: &SampleConfig, model: &ModelConfig) -> SampleConfig {
    let config = with_usual(config, model);
    let of_two = model.architecture == Architecture::Sdxl;
    let is_empty = of_two && config.is_guided() && config.negative_prompt.trim().is_empty();
    let own = if model.force_zeros { EmptyNegative::Zeros } else { EmptyNegative::Encoded };
    SampleConfig {
        karras: config.karras || model.scheduler.asks_for_karras(config.sampler()),
        empty_negative: is_empty.then(|| config.empty_negative.unwrap_or(own)),
        clip_skip: if model.clip_layers().is_some() { config.clip_skip } else { SampleConfig::default().clip_skip },
        pooling: if of_two { config.pooling } else { SampleConfig::default().pooling },
        ..config
    }
}

/// Refuses noise, `[count, 4, h, w]`, that does not fit what is to be made from it.
///
/// # Errors
/// [`Error::Usage`], and those of [`check`].
pub fn check_latents(shape: [usize; 4], config: &SampleConfig, model: &ModelConfig) -> Result<()> {
    let [height, width] = check(config, model)?;
    let expected = [config.count as usize, model.vae.latent_channels, height, width];
    if shape == expected {
        return Ok(());
    }
    Err(Error::Usage(format!("the latents are {shape:?}, this generation needs {expected:?}")))
}

/// The codes of what [`concerns`] and [`about_model`] report: who asks it before there is a job need not hear of them again.
pub const CONCERNS: [WarningCode; 6] = [
    WarningCode::PictureSize,
    WarningCode::NoEffect,
    WarningCode::UnknownEmbedding,
    WarningCode::PromptSyntax,
    WarningCode::PromptCut,
    WarningCode::Scheduler,
];

/// What about the settings a user should know of this model: what its noise schedule asks for and does not get, and sizes that it
/// was not trained on.
pub fn about_model(config: &SampleConfig, model: &ModelConfig) -> Vec<Event> {
    let skip = about_clip_skip(config, model);
    about_schedule(config, model).into_iter().chain(unusual_size(config, model)).chain(skip).collect()
}

/// A layer that was asked for and is not taken.
fn about_clip_skip(config: &SampleConfig, model: &ModelConfig) -> Option<Event> {
    let asked = config.clip_skip != SampleConfig::default().clip_skip;
    (asked && model.clip_layers().is_none()).then(|| {
        let text = format!(
            "{} {} has no effect: it is for models of Stable Diffusion 1.x; this one was trained with a layer of its own",
            Setting::ClipSkip,
            config.clip_skip
        );
        Event::warning(WarningCode::NoEffect, text)
    })
}

/// What the model's noise schedule asks the sampler for, and does not get.
pub fn about_schedule(config: &SampleConfig, model: &ModelConfig) -> Vec<Event> {
    let not_obeyed = model.scheduler.not_obeyed(with_usual(config, model).sampler()).into_iter();
    not_obeyed.map(|text| Event::warning(WarningCode::Scheduler, text)).collect()
}

/// What about the settings and a prompt a user should know; `others` are embeddings that are at hand besides those that
/// the tokenizers know.
pub fn concerns(prompt: &str, config: &SampleConfig, tokenizers: &Tokenizers, others: &[String]) -> Vec<Event> {
    let mut events = without_effect(config, tokenizers.count());
    let about = |what, text: &str| about_prompt(what, text, config.prompt_syntax, tokenizers.first(), others);
    events.extend(about("prompt", prompt));
    if config.is_guided() {
        events.extend(about("negative prompt", &config.negative_prompt));
    }
    events
}

/// Settings that others make useless, or the model, which has so many text encoders.
fn without_effect(config: &SampleConfig, encoders: usize) -> Vec<Event> {
    let usual = SampleConfig::default();
    let mut idle = Vec::new();
    let (negative, empty, guidance) = (Setting::NegativePrompt, Setting::EmptyNegative, config.guidance());
    let off = || format!("with {} {guidance} guidance is off (it is on above 1)", Setting::Guidance);
    let has_negative = !config.negative_prompt.trim().is_empty();
    if has_negative && !config.is_guided() {
        idle.push(format!("{negative} has no effect: {}", off()));
    }
    if config.batch_size != usual.batch_size && config.batch_size > config.count {
        let (batch, count) = (Setting::BatchSize, Setting::Count);
        idle.push(format!(
            "{batch} {} has no effect: of {count} {}, no more are made together",
            config.batch_size, config.count
        ));
    }
    let one = encoders == 1;
    idle.extend((one && config.pooling != usual.pooling).then(|| of_two_encoders(Setting::Pooling)));
    idle.extend(config.empty_negative.and_then(|_| match () {
        () if one => Some(of_two_encoders(empty)),
        () if !config.is_guided() => Some(format!("{empty} has no effect: {}", off())),
        () if has_negative => Some(format!("{empty} has no effect: there is a {negative}")),
        () => None,
    }));
    idle.into_iter().map(|text| Event::warning(WarningCode::NoEffect, text)).collect()
}

/// What to say of a setting that this model has no use for.
pub(crate) fn of_two_encoders(setting: Setting) -> String {
    format!("{setting} has no effect: it is for models with two text encoders (SDXL), and this one has one")
}

/// Sizes that SDXL was trained on, the shorter side first (arXiv 2307.01952, appendix I): all have about as many pixels.
const SDXL_SIZES: [[u32; 2]; 21] = [
    [512, 2048],
    [512, 1984],
    [512, 1920],
    [512, 1856],
    [576, 1792],
    [576, 1728],
    [576, 1664],
    [640, 1600],
    [640, 1536],
    [704, 1472],
    [704, 1408],
    [704, 1344],
    [768, 1344],
    [768, 1280],
    [832, 1216],
    [832, 1152],
    [896, 1152],
    [896, 1088],
    [960, 1088],
    [960, 1024],
    [1024, 1024],
];

/// Those of them that are offered: the usual shapes, from the square on.
const OFFERED: [[u32; 2]; 5] = [[1024, 1024], [896, 1152], [832, 1216], [768, 1344], [640, 1536]];

/// Whether a model was trained on these sizes.
fn is_sdxl(model: &ModelConfig) -> bool {
    model.architecture == Architecture::Sdxl && model.picture_size() == [1024; 2]
}

/// Sizes, width and height, that a model was trained on and that pictures usually have; none where there is only its own.
pub fn usual_sizes(model: &ModelConfig) -> Vec<[u32; 2]> {
    let both = OFFERED.into_iter().flat_map(|[short, long]| [[long, short], [short, long]]);
    let mut sizes: Vec<_> = both.filter(|_| is_sdxl(model)).collect();
    sizes.dedup();
    sizes
}

/// The height and width that a model of SDXL's size was trained on whose shape is nearest to this one; none for other models.
fn usual_size(model: &ModelConfig, [height, width]: [u32; 2]) -> Option<[u32; 2]> {
    let shape = |[height, width]: [u32; 2]| (f64::from(width) / f64::from(height)).ln();
    let both = SDXL_SIZES.into_iter().flat_map(|[short, long]| [[short, long], [long, short]]);
    let off = |size: &[u32; 2]| (shape(*size) - shape([height, width])).abs();
    both.min_by(|a, b| off(a).total_cmp(&off(b))).filter(|_| is_sdxl(model))
}

/// A warning about pictures with many more or many fewer pixels than those that a model knows.
fn unusual_size(config: &SampleConfig, model: &ModelConfig) -> Option<Event> {
    /// Beyond this the sizes of training are left, whose numbers of pixels differ by a tenth.
    const PIXELS: std::ops::RangeInclusive<f64> = 0.8..=1.25;
    let [own_height, own_width] = model.picture_size();
    let [height, width] = [config.height.unwrap_or(own_height), config.width.unwrap_or(own_width)];
    let [usual_height, usual_width] = usual_size(model, [height, width])?;
    let share = f64::from(height) * f64::from(width) / (f64::from(own_height) * f64::from(own_width));
    (!PIXELS.contains(&share)).then(|| {
        let text = format!(
            "pictures of {width} x {height} pixels may be poor: this model was trained on about {own_width} x {own_height}; of \
             this shape {usual_width} x {usual_height} is usual"
        );
        Event::warning(WarningCode::PictureSize, text)
    })
}

/// How much of one kind is named in warnings about one prompt, and how many characters of what was left out.
const SHOWN: usize = 5;
const SHOWN_CHARS: usize = 300;

/// What of a prompt is not what it may be meant to be; `what` is what to call it.
pub fn about_prompt(
    what: &str,
    prompt: &str,
    syntax: PromptSyntax,
    tokenizer: &ClipTokenizer,
    others: &[String],
) -> Vec<Event> {
    let mut events = Vec::new();
    let unknown = tokenizer.unknown_names(prompt, others);
    let more = unknown.len().saturating_sub(SHOWN);
    for (name, nearest) in unknown.into_iter().take(SHOWN) {
        let advice =
            nearest.map_or_else(give_its_file, |nearest| format!("did you mean {shown}?", shown = quoted(nearest)));
        events.push(unknown_name(&name, &format!("the {what}"), &advice));
    }
    if more > 0 {
        let text = format!("{more} more names in the {what} are not embeddings that were given or are kept");
        events.push(Event::warning(WarningCode::UnknownEmbedding, text));
    }
    events.extend(tokenizer.unclear_in(prompt).iter().take(SHOWN).map(|unclear| unclear_name(unclear, what)));
    let found = tokenizer.notes(prompt, syntax);
    let mut foreign: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
    if found.len() > SHOWN {
        foreign.push(format!("and {} more", found.len() - SHOWN));
    }
    if !foreign.is_empty() {
        events.push(plain_text(&foreign, &format!("the {what}")));
    }
    events.extend(cut(what, &tokenizer.read(prompt, syntax), tokenizer.room(), prompt.len() > LONGEST));
    events
}

/// A warning about what looks like an embedding's name and is none, in a prompt or a caption.
pub(crate) fn unknown_name(name: &str, place: &str, advice: &str) -> Event {
    let name = quoted(name);
    let text = format!(
        "{name} in {place} is not an embedding that was given or is kept, so it is read as plain text; {advice}"
    );
    Event::warning(WarningCode::UnknownEmbedding, text)
}

/// A warning about a name that several words could have.
fn unclear_name(Unclear { name, tokens }: &Unclear, what: &str) -> Event {
    let tokens: Vec<String> = tokens.iter().map(|token| quoted(token)).collect();
    let text = format!(
        "{} in the {what} could be any of {}, which have files or names like that, so it is read as plain text; write one of these",
        quoted(name),
        tokens.join(", ")
    );
    Event::warning(WarningCode::UnknownEmbedding, text)
}

/// Whether an event is that warning about a name, with or without `embedding:` before it.
pub fn says_unknown(event: &Event, name: &str) -> bool {
    let Event::Warning { code: WarningCode::UnknownEmbedding, text } = event else { return false };
    [name.to_owned(), prefixed(name)].iter().any(|name| text.starts_with(&format!("{} in ", quoted(name))))
}

/// What to do about such a name where no other is near.
pub(crate) fn give_its_file() -> String {
    format!("give its file with {}", Setting::Embedding)
}

/// A warning about syntax of other programs, in a prompt or a caption.
pub(crate) fn plain_text(foreign: &[String], place: &str) -> Event {
    let (foreign, is) = (foreign.join(", "), if foreign.len() == 1 { "is" } else { "are" });
    let text = format!("in {place}, {foreign} {is} plain text here: what other programs read in it is not done");
    Event::warning(WarningCode::PromptSyntax, text)
}

/// A warning for a prompt that was cut.
fn cut(what: &str, prompt: &Tokens, room: usize, is_longer: bool) -> Option<Event> {
    let fallen = prompt.fallen.as_ref()?;
    let (had, chunks) = (prompt.length, prompt.chunks.len());
    let more = if is_longer { "more than " } else { "" };
    let fit =
        if chunks > 1 { format!("only {chunks} stretches of {room} are read") } else { format!("only {room} fit") };
    let text = format!(
        "the {what} is {more}{had} tokens but {fit}; these words were left out: {shown}",
        shown = quoted(&beginning(fallen, SHOWN_CHARS))
    );
    Some(Event::warning(WarningCode::PromptCut, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Family;
    use crate::config::{Pooling, SamplerKind};
    use crate::model::OpenedModel;
    use std::rc::Rc;

    fn opened() -> OpenedModel {
        pollster::block_on(OpenedModel::read(Rc::new(crate::mini::source()))).unwrap()
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_setting_and_the_rule() {
        let (model, usual) = (opened().config, SampleConfig::default());
        let refused = |config: SampleConfig, part: &str| {
            let said = check(&config, &model).expect_err(part).to_string();
            assert!(said.contains(part), "{said}");
        };
        for guidance in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.001, 1e9] {
            refused(SampleConfig { guidance: Some(guidance), ..usual.clone() }, "guidance");
        }
        for bad in [0, 10, 4100, u32::MAX] {
            refused(SampleConfig { width: Some(bad), ..usual.clone() }, "width");
            refused(SampleConfig { height: Some(bad), ..usual.clone() }, "height");
        }
        for bad in [0, 1001, u32::MAX] {
            refused(SampleConfig { steps: Some(bad), ..usual.clone() }, "steps");
        }
        for bad in [0, u32::MAX] {
            refused(SampleConfig { count: bad, ..usual.clone() }, "count");
            refused(SampleConfig { batch_size: bad, ..usual.clone() }, "batch-size");
        }
        refused(SampleConfig { karras: true, sampler: Some(SamplerKind::Ddim), ..usual.clone() }, "karras");
        refused(SampleConfig { seed: u64::MAX, count: 2, ..usual.clone() }, "18446744073709551614");
        for good in [
            SampleConfig { seed: u64::MAX, ..usual.clone() },
            SampleConfig { guidance: Some(0.0), ..usual.clone() },
            SampleConfig { width: Some(4), height: Some(68), ..usual.clone() },
        ] {
            check(&good, &model).unwrap();
        }
        assert_eq!(check(&SampleConfig { width: Some(72), ..usual }, &model).unwrap(), [16, 18]);
    }

    #[test]
    fn what_others_make_useless_is_said_and_nothing_else() {
        let mut tokenizers = opened().tokenizers;
        tokenizers.add_word("<my-fox>", 2).unwrap();
        let said = |prompt: &str, config: &SampleConfig| {
            let events = concerns(prompt, config, &tokenizers, &["<kept-cow>".to_owned()]);
            let codes = events.iter().map(|event| match event {
                Event::Warning { code, .. } => code.code(),
                other => panic!("{other:?}"),
            });
            codes.collect::<Vec<_>>().join(" ")
        };
        let events = concerns("<keptcow>", &SampleConfig::default(), &tokenizers, &["<kept-cow>".to_owned()]);
        assert!(format!("{events:?}").contains("<kept-cow>"), "{events:?}");
        let usual = SampleConfig::default();
        assert_eq!(said("a <my-fox> and a <3 heart", &usual), "");
        assert_eq!(said("a <myfox>, (red:1.2) BREAK [blue]", &usual), "unknown-embedding");
        let plain = SampleConfig { prompt_syntax: PromptSyntax::Plain, ..usual.clone() };
        assert_eq!(said("a <myfox>, (red:1.2) BREAK", &plain), "unknown-embedding prompt-syntax");
        assert_eq!(said("a [red:blue:0.5] hill", &usual), "prompt-syntax");
        // The learned word is two tokens, and is never cut.
        let long = "apple ".repeat(74) + "<my-fox>";
        assert_eq!((said(&long, &usual), said(&long, &plain)), (String::new(), "prompt-cut".to_owned()));
        assert_eq!(said(&"apple ".repeat(601), &usual), "prompt-cut");
        let negative = SampleConfig { negative_prompt: "<blur>".to_owned(), ..usual.clone() };
        assert_eq!(said("a", &negative), "unknown-embedding");
        for guidance in [0.0, 0.5, 1.0] {
            assert_eq!(said("a", &SampleConfig { guidance: Some(guidance), ..negative.clone() }), "no-effect");
        }
        assert_eq!(said("a", &SampleConfig { batch_size: 8, count: 2, ..usual.clone() }), "no-effect");
        assert_eq!(said("a", &SampleConfig { batch_size: 1, count: 2, ..usual.clone() }), "");
        // The model in the program has one text encoder.
        assert_eq!(said("a", &SampleConfig { pooling: Pooling::Diffusers, ..usual.clone() }), "no-effect");
        for empty in [EmptyNegative::Zeros, EmptyNegative::Encoded] {
            assert_eq!(said("a", &SampleConfig { empty_negative: Some(empty), ..usual.clone() }), "no-effect");
        }
    }

    #[test]
    fn the_layer_that_prompts_are_taken_from_is_one_of_the_text_encoders() {
        let (mini, usual) = (opened().config, SampleConfig::default());
        let skips = |clip_skip| SampleConfig { clip_skip, ..usual.clone() };
        for good in [1, 2] {
            assert!(check(&skips(good), &mini).is_ok() && about_model(&skips(good), &mini).is_empty());
        }
        assert_eq!(decided(&skips(2), &mini).clip_skip, 2);
        for bad in [0, 3] {
            let said = check(&skips(bad), &mini).unwrap_err().to_string();
            assert!(said.contains("clip-skip") && said.contains(&bad.to_string()), "{said}");
        }
        for family in [Family::Sd2, Family::Sdxl] {
            let model = crate::bench::sizes(family).unwrap();
            check(&skips(2), &model).unwrap();
            assert_eq!((about_model(&skips(2), &model).len(), decided(&skips(2), &model).clip_skip), (1, 1));
        }
        assert_eq!(crate::bench::sizes(Family::Sd1).unwrap().clip_layers(), Some(12));
    }

    #[test]
    fn what_sdxl_has_no_use_for_is_said() {
        let zeros = SampleConfig { empty_negative: Some(EmptyNegative::Zeros), ..SampleConfig::default() };
        let pooled = SampleConfig { pooling: Pooling::Diffusers, ..zeros.clone() };
        let negative = SampleConfig { negative_prompt: "blur".to_owned(), ..zeros.clone() };
        let unguided = SampleConfig { guidance: Some(1.0), ..zeros.clone() };
        let said = [&zeros, &pooled, &negative, &unguided].map(|config| without_effect(config, 2).len());
        assert_eq!(said, [0, 0, 1, 1]);
    }

    #[test]
    fn sizes_far_from_what_sdxl_was_trained_on_are_said_with_the_usual_one() {
        let config = crate::bench::sizes(Family::Sdxl).unwrap();
        assert!(OFFERED.iter().all(|size| SDXL_SIZES.contains(size)));
        assert_eq!(usual_sizes(&config)[..3], [[1024, 1024], [1152, 896], [896, 1152]]);
        assert_eq!((usual_sizes(&config).len(), usual_sizes(&opened().config).len()), (9, 0));
        for [height, width] in SDXL_SIZES {
            let sized = SampleConfig { width: Some(width), height: Some(height), ..SampleConfig::default() };
            assert_eq!(
                (unusual_size(&sized, &config), check(&sized, &config).is_ok()),
                (None, true),
                "{width} x {height}"
            );
        }
        let said = |width, height| {
            let sized = SampleConfig { width, height, ..SampleConfig::default() };
            unusual_size(&sized, &config).map(|event| format!("{event:?}"))
        };
        assert_eq!(said(None, None), None);
        for (width, height, usual) in [
            (Some(512), Some(512), "1024 x 1024 is usual"),
            (Some(1024), Some(768), "1152 x 896 is usual"),
            (Some(768), Some(512), "1216 x 832 is usual"),
            (Some(2048), Some(2048), "1024 x 1024 is usual"),
            (None, Some(512), "1408 x 704 is usual"),
        ] {
            let said = said(width, height).unwrap_or_default();
            assert!(said.contains(usual), "{width:?} {height:?}: {said}");
        }
        let sized = SampleConfig { width: Some(256), ..SampleConfig::default() };
        assert_eq!(unusual_size(&sized, &crate::bench::sizes(Family::Sd1).unwrap()), None);
    }
}
