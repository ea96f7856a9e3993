//! What happens, for people: lines that stay, and a bar for the work in progress, on standard error.
//!
//! Where standard error is not a terminal, the bar is a plain line every ten seconds.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};

use super::terminal::{say, shows_messages};
use crate::base::text::{counted, one_line, quoted};
use crate::event::{EvaluatedOn, Event, MaskOf, MaskOrigin};

/// Between two plain lines.
const PAUSE: Duration = Duration::from_secs(10);
/// Characters of a bar: with the longest note, a line has room in a terminal of 80.
const BAR: u64 = 20;

/// The work in progress.
#[derive(Default)]
struct Work {
    what: String,
    done: u64,
    of: u64,
    /// Loss, speed, time left.
    note: String,
}

impl Work {
    fn written(&self) -> String {
        let Self { what, done, of, note } = self;
        format!("{what} {done}/{of} {note}").trim_end().to_owned()
    }

    fn drawn(&self) -> String {
        let Self { what, done, of, note } = self;
        let filled = (done * BAR).checked_div(*of).unwrap_or(0).min(BAR) as usize;
        let bar = format!("{:width$}", "=".repeat(filled), width = BAR as usize);
        format!("{what} [{bar}] {done}/{of} {note}").trim_end().to_owned()
    }
}

/// Shows events to a person. A clone shows them in the same place.
#[derive(Clone)]
pub struct Progress {
    screen: Rc<Screen>,
    training: Training,
    /// What is said before everything, if several things are shown beside each other.
    name: Option<String>,
}

/// Where it is shown, until the last of those that do so is gone.
struct Screen {
    /// None off a terminal.
    bar: Option<ProgressBar>,
    lines: bool,
    last_line: Cell<Instant>,
}

/// What is remembered of a training run between events.
#[derive(Clone, Default)]
struct Training {
    /// Whether there is one: the same denoising is then a preview.
    running: bool,
    /// When the first step began, and how many were made before it.
    begun: Option<Instant>,
    before: u32,
    step: u32,
    /// Mean of the last losses, since a single one means little.
    loss: Option<f64>,
}

impl Progress {
    /// `quiet` shows nothing. With `json`, lines are on the other stream and only a bar on a terminal is shown.
    pub fn new(quiet: bool, json: bool) -> Self {
        let bar = (shows_messages() && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let screen = Screen { bar, lines: !quiet && !json, last_line: Cell::new(Instant::now()) };
        Self { screen: Rc::new(screen), training: Training::default(), name: None }
    }

    /// The same place, for what has a name of its own.
    pub fn named(&self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), training: Training::default(), ..self.clone() }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        self.training.follow(event);
        if let Some(work) = self.training.work(event) {
            self.advance(work);
        }
        if let Some(line) = line(event) {
            self.print(&line);
        }
    }

    /// Prints a line that stays.
    pub fn print(&self, line: &str) {
        let line = self.name.as_ref().map_or_else(|| line.to_owned(), |name| format!("{name}: {line}"));
        match &self.screen.bar {
            _ if !self.screen.lines => {}
            Some(bar) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.screen.clear();
    }

    fn advance(&self, mut work: Work) {
        if let Some(name) = &self.name {
            work.what = format!("{name}: {}", work.what);
        }
        let screen = &self.screen;
        match &screen.bar {
            Some(bar) => {
                if bar.is_finished() {
                    bar.reset();
                }
                // All in one: set one by one, prefix, position and note of different moments would be seen together.
                bar.set_message(one_line(&work.drawn()).into_owned());
            }
            None if screen.lines && screen.last_line.get().elapsed() >= PAUSE => {
                screen.last_line.set(Instant::now());
                say(&work.written());
            }
            None => {}
        }
    }
}

impl Screen {
    /// Takes the bar away.
    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Training {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Plan { .. } => self.running = true,
            Event::Resumed { step, .. } | Event::Rewound { to: step, .. } => (self.begun, self.before) = (None, *step),
            Event::Step { step, loss, secs, .. } => {
                let step_began =
                    || Instant::now().checked_sub(Duration::from_secs_f64(*secs)).unwrap_or_else(Instant::now);
                self.begun.get_or_insert_with(step_began);
                self.step = *step;
                self.loss = Some(self.loss.map_or(*loss, |mean| mean + 0.1 * (loss - mean)));
            }
            _ => {}
        }
    }

    /// The state of the work that an event belongs to, if it is about work in progress.
    fn work(&self, event: &Event) -> Option<Work> {
        let work = |what: String, done: u32, of: u32, note: String| {
            Some(Work { what, done: done.into(), of: of.into(), note })
        };
        match event {
            Event::Fetch { file, number, files, done, total, rate, left } => {
                let which = if *files > 1 { format!(" ({number} of {files})") } else { String::new() };
                let left = left.map_or(String::new(), |left| format!(", {} left", span(left)));
                Some(Work {
                    what: format!("fetching {file}{which}"),
                    done: done / 1_000_000,
                    of: total.unwrap_or(*done) / 1_000_000,
                    note: format!("MB, {:.1} MB/s{left}", rate / 1e6),
                })
            }
            Event::Load { part, done, total } => work(format!("loading the {part}"), *done, *total, String::new()),
            Event::Encode { done, total, .. } => work("encoding pictures".to_owned(), *done, *total, String::new()),
            Event::Locate { done, total, .. } => work("looking for the thing".to_owned(), *done, *total, String::new()),
            Event::Describe { done, total, .. } => work("making captions".to_owned(), *done, *total, String::new()),
            Event::Step { step, of, .. } => {
                let passed = self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
                let made = step.saturating_sub(self.before);
                let each = passed / f64::from(made.max(1));
                let loss = self.loss.map_or(String::new(), |loss| format!("loss {loss:.4}, "));
                // The first steps warm up caches and kernels: an estimate from them would only be corrected.
                let left = match made {
                    0..5 => String::new(),
                    _ => format!(", {} left", span(each * f64::from(of - step.min(of)))),
                };
                work("training".to_owned(), *step, *of, format!("{loss}{each:.2} s/step{left}"))
            }
            Event::Trying { done, total } => work("trying the word".to_owned(), *done, *total, String::new()),
            Event::Denoise { step, of, secs } if self.running => {
                work(format!("preview at step {}", self.step), *step, *of, format!("{secs:.2} s/step"))
            }
            Event::Denoise { step, of, secs } => {
                let left = span(secs * f64::from(of - step.min(of)));
                work("denoising".to_owned(), *step, *of, format!("{secs:.2} s/step, {left} left"))
            }
            _ => None,
        }
    }
}

/// The line for an event that is worth one.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Device { kind, name, reason } => format!("{kind}: {name} ({reason})"),
        Event::Precision { reason, .. } => format!("matrix products are computed {reason}"),
        Event::TakenUp { path, prompt, settings, given } => taken_up(path, prompt.as_deref(), settings, given),
        Event::Encode { done, total, name, prepared } => format!("picture {done}/{total}: {name}: {prepared}"),
        Event::Masks { outside, masks } => told_masks(*outside, masks),
        Event::Caption { name, caption: Some(caption), parts, backgrounds } => {
            let sure = parts.iter().map(|part| format!("{} {:.0} %", part.words, 100.0 * part.sure));
            let sure = sure.collect::<Vec<_>>().join(", ");
            let sure = if sure.is_empty() { sure } else { format!(" ({sure})") };
            let behind = if backgrounds.is_empty() { "" } else { "; before plain colours it names each of these" };
            format!("caption for {name}: {caption}{sure}{behind}")
        }
        Event::Caption { name, caption: None, .. } => {
            format!("no caption for {name}: nothing but the thing is clear in it")
        }
        Event::Plan { token, vectors, init, second, steps, recipe, lr, samples_per_step, checkpointing } => {
            let word = |token: &str, vectors: u32, init: &str| {
                let vectors = counted(u64::from(vectors), "vector");
                format!("{token} ({vectors}, starting from {init})")
            };
            let second = second.as_ref().map(|second| word(&second.token, second.vectors, &second.init));
            let second = second.map_or_else(String::new, |second| format!(" and {second}"));
            let first = word(token, *vectors, init);
            let memory = if *checkpointing { ", blocks recomputed to save memory" } else { "" };
            format!(
                "learning {first}{second}: {steps} steps of {samples_per_step} samples, {recipe}, \
                 learning rate {lr}{memory}"
            )
        }
        Event::Resumed { step, of } => format!("resuming after step {step} of {of}"),
        Event::Skipped { step, reason, skipped } => {
            format!("step {step} was skipped: {reason} ({skipped} so far); the embedding is unchanged")
        }
        Event::Rewound { step, to, lr, reason } => {
            format!("step {step}: {reason}; going back to step {to}, learning rate {lr} from now on")
        }
        Event::Evaluation { on, step, loss, initial } => {
            let batch = match on {
                EvaluatedOn::Training => "the fixed batch",
                EvaluatedOn::Unseen => "unseen pictures",
            };
            match step {
                0 => format!("before the first step: loss on {batch} {loss:.4}"),
                _ => format!("step {step}: loss on {batch} {loss:.4} ({:+.1} %)", 100.0 * (loss - initial) / initial),
            }
        }
        Event::Preview { step, path: Some(path) } => format!("step {step}: preview {path}"),
        // Those saved during the run are only a safety net, and results have their place on standard output.
        Event::Saved { what, .. }
            if ["checkpoint", "state", "embedding", "picture", "sheet"].contains(&what.as_str()) =>
        {
            return None;
        }
        Event::Saved { what, path } => format!("{what}: {path}"),
        Event::Warning { text, .. } => format!("warning: {text}"),
        Event::Converged { step, ratio } => format!("step {step}: the loss has settled ({ratio:.2}): stopping here"),
        Event::Quality(quality) => {
            let advice = quality.advice.as_ref().map_or_else(String::new, |advice| format!(". Advice: {advice}"));
            format!("how good it is: {}{advice}", quality.text)
        }
        // A run that had been finished before reports that itself.
        Event::Done { secs: 0.0, .. } => return None,
        Event::Done { steps, secs } => {
            format!("done: {steps} {} in {}", if *steps == 1 { "step" } else { "steps" }, span(*secs))
        }
        _ => return None,
    })
}

/// What a picture's settings are, and what was given instead.
fn taken_up(path: &str, prompt: Option<&str>, settings: &Map<String, Value>, given: &[String]) -> String {
    // What a line has room for: the prompt itself stands in the picture's file, and may be a book.
    const SHOWN: usize = 300;
    let text = |text: &str| {
        let end = text.char_indices().nth(SHOWN).map(|(end, _)| end);
        quoted(&end.map_or_else(|| text.to_owned(), |end| format!("{}…", &text[..end])))
    };
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), text);
    let settings = settings.iter().map(|(name, value)| format!("{name} {}", shown(value)));
    let taken: Vec<String> = prompt.map(text).into_iter().chain(settings).collect();
    let taken = if taken.is_empty() { "nothing".to_owned() } else { taken.join(", ") };
    let given = if given.is_empty() { String::new() } else { format!("; given by hand: {}", given.join(", ")) };
    format!("as {path} was made: {taken}{given}")
}

/// How many pictures have masks, and where they are from.
fn told_masks(outside: f64, masks: &[MaskOf]) -> String {
    let count = |origin| masks.iter().filter(|mask| mask.origin == origin).count();
    let kinds =
        [(MaskOrigin::Given, "given"), (MaskOrigin::Transparency, "from transparency"), (MaskOrigin::Found, "found")];
    let kinds = kinds
        .into_iter()
        .map(|(origin, how)| (count(origin), how))
        .chain([(count(MaskOrigin::Unsure) + count(MaskOrigin::None), "without")]);
    let told: Vec<String> =
        kinds.filter(|(count, _)| *count > 0).map(|(count, how)| format!("{count} {how}")).collect();
    format!(
        "masks of {}: {}; what is outside counts {outside}",
        counted(masks.len() as u64, "picture"),
        told.join(", ")
    )
}

/// A length of time for people.
pub fn span(secs: f64) -> String {
    let whole = secs.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{:.1} s", secs.max(0.0)),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_readable() {
        assert_eq!([0.04, 9.0, 61.2, 125.0, 7260.0].map(span), ["0.0 s", "9.0 s", "61 s", "2 min 5 s", "2 h 1 min"]);
    }

    #[test]
    fn of_a_book_in_a_picture_the_beginning_is_shown() {
        let book = "é".repeat(1 << 20);
        let settings = Map::from_iter([("negative_prompt".to_owned(), Value::from(book.as_str()))]);
        let line = taken_up("big.png", Some(&book), &settings, &[]);
        assert!(line.chars().count() < 700 && line.matches("é…\"").count() == 2, "{}", line.len());
        assert!(taken_up("a.png", Some("a cat"), &Map::new(), &[]).ends_with(": \"a cat\""));
    }

    #[test]
    fn work_is_drawn_as_a_bar_and_written_as_a_line() {
        let work = Work { what: "training".to_owned(), done: 150, of: 300, note: "loss 0.0690".to_owned() };
        assert_eq!(work.drawn(), "training [==========          ] 150/300 loss 0.0690");
        assert_eq!(work.written(), "training 150/300 loss 0.0690");
        assert_eq!(Work::default().drawn(), " [                    ] 0/0");
    }

    #[test]
    fn a_preview_is_not_taken_for_the_result() {
        let mut training = Training::default();
        let step = Event::Denoise { step: 2, of: 25, secs: 0.5 };
        assert_eq!(training.work(&step).unwrap().what, "denoising");
        training.running = true;
        assert_eq!(training.work(&step).unwrap().what, "preview at step 0");
    }
}
