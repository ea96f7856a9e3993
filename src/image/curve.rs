//! The loss curve of a training run as a picture.
//!
//! The loss of a step says little: it hangs on which noise levels were drawn. The loss on the fixed evaluation batch,
//! which has the same noise every time, is the one to look at, and moves by a few per cent. So it has a panel of its
//! own; below it are the steps as faint dots with their running mean. The two panels share their steps but not their
//! scale.

use std::ops::Range;

use image::RgbImage;

use super::draw::{Anchor, Canvas, Colour, Point, wrap};

const SIZE: (u32, u32) = (1200, 760);
/// Left and right edge of the panels.
const SIDES: Range<f32> = 100.0..1160.0;
/// Heights of the panel of the evaluation, of that of the steps, and of one that is alone.
const UPPER: Range<f32> = 126.0..416.0;
const LOWER: Range<f32> = 496.0..676.0;
const ALONE: Range<f32> = 126.0..676.0;

const PAGE: Colour = [255, 255, 255];
const GRID: Colour = [234, 236, 239];
const AXIS: Colour = [154, 160, 166];
const STRONG: Colour = [32, 33, 36];
const SOFT: Colour = [95, 99, 104];
const TRAIN: Colour = [84, 116, 160];
const EVAL: Colour = [214, 84, 28];

const TITLE: f32 = 27.0;
const TEXT: f32 = 19.0;

/// A step and its loss.
type Loss = (u32, f64);

/// Draws the loss over the steps: `train` has one value for each step, `eval` those on the fixed batch.
///
/// Values that are not finite are left out. Any number of values will do, also none.
pub fn loss_curve(title: &str, train: &[Loss], eval: &[Loss]) -> RgbImage {
    let (train, eval) = (finite(train), finite(eval));
    let last = train.iter().chain(&eval).map(|&(step, _)| step).max().unwrap_or(0).max(1);
    let mut canvas = Canvas::new(SIZE.0, SIZE.1, PAGE);
    for line in wrap(title, TITLE, SIDES.end - SIDES.start, 1) {
        canvas.text(&line, (SIDES.start, 52.0), TITLE, STRONG, Anchor::Left);
    }
    let (upper, lower) = if eval.is_empty() || train.is_empty() { (ALONE, ALONE) } else { (UPPER, LOWER) };
    if !eval.is_empty() {
        draw_evaluation(&mut canvas, &eval, upper, last);
    }
    if !train.is_empty() {
        draw_steps(&mut canvas, &train, lower, last);
    }
    if train.is_empty() && eval.is_empty() {
        Panel::new(ALONE, last, &[]).draw(&mut canvas);
        let middle = ((SIDES.start + SIDES.end) / 2.0, (ALONE.start + ALONE.end) / 2.0);
        canvas.text("no losses yet", middle, TEXT, SOFT, Anchor::Centre);
    }
    canvas.text("step", ((SIDES.start + SIDES.end) / 2.0, SIZE.1 as f32 - 22.0), TEXT, SOFT, Anchor::Centre);
    canvas.into_image()
}

/// The evaluation: a bold line with a mark at every value, and in words what it came to.
fn draw_evaluation(canvas: &mut Canvas, eval: &[Loss], height: Range<f32>, last: u32) {
    let panel = Panel::new(height, last, &eval.iter().map(|&(_, loss)| loss).collect::<Vec<_>>());
    panel.draw(canvas);
    let path: Vec<Point> = eval.iter().map(|&(step, loss)| panel.place(step, loss)).collect();
    canvas.line(&path, 4.0, EVAL);
    for &at in &path {
        mark(canvas, at);
    }
    let (first, last) = (eval[0].1, eval[eval.len() - 1].1);
    let mut text = format!("loss on the fixed evaluation batch: {first:.4}");
    if eval.len() > 1 {
        text += &format!(" to {last:.4}");
        let change = (last / first - 1.0) * 100.0;
        if change.abs() < 1000.0 {
            text += &format!(" ({change:+.1}%)").replace('-', "−");
        }
    }
    let at = panel.heading(canvas, &text, 4.0, EVAL);
    mark(canvas, at);
}

fn mark(canvas: &mut Canvas, at: Point) {
    canvas.dot(at, 7.2, PAGE, 1.0);
    canvas.dot(at, 5.2, EVAL, 1.0);
}

/// The steps: a dot for each, and their running mean.
fn draw_steps(canvas: &mut Canvas, train: &[Loss], height: Range<f32>, last: u32) {
    let smooth = smoothed(train);
    // A few dots lie far off; showing them all would flatten the rest.
    let mut dots: Vec<f64> = train.iter().map(|&(_, loss)| loss).collect();
    dots.sort_by(f64::total_cmp);
    let beyond = dots.len() / 20;
    let mut shown = dots[beyond..dots.len() - beyond].to_vec();
    shown.extend(smooth.iter().map(|&(_, loss)| loss));

    let panel = Panel::new(height, last, &shown);
    panel.draw(canvas);
    let (radius, alpha) = match train.len() {
        0..=60 => (3.6, 0.6),
        61..=800 => (2.6, 0.38),
        _ => (2.4, 0.2),
    };
    for &(step, loss) in train.iter().filter(|(_, loss)| (panel.low..=panel.high).contains(loss)) {
        canvas.dot(panel.place(step, loss), radius, TRAIN, alpha);
    }
    let path: Vec<Point> = smooth.iter().map(|&(step, loss)| panel.place(step, loss)).collect();
    canvas.line(&path, 2.8, TRAIN);
    panel.heading(canvas, "loss of each training step, and running mean", 2.8, TRAIN);
}

/// The values that can be drawn, in the order of their steps. Astronomic values would overflow the axes.
fn finite(losses: &[Loss]) -> Vec<Loss> {
    let mut finite: Vec<Loss> = losses.iter().copied().filter(|(_, loss)| loss.abs() < 1e30).collect();
    finite.sort_by_key(|&(step, _)| step);
    finite
}

/// The mean of each value and its neighbours on both sides, as far as there are any.
fn smoothed(losses: &[Loss]) -> Vec<Loss> {
    let reach = (losses.len() / 20).clamp(2, 100);
    let mean = |index: usize| {
        let near = &losses[index.saturating_sub(reach)..(index + reach + 1).min(losses.len())];
        near.iter().map(|&(_, loss)| loss).sum::<f64>() / near.len() as f64
    };
    losses.iter().enumerate().map(|(index, &(step, _))| (step, mean(index))).collect()
}

/// A part of the canvas with axes of its own.
struct Panel {
    height: Range<f32>,
    last: f64,
    low: f64,
    high: f64,
}

impl Panel {
    /// A panel that shows all of `values`, with some air.
    fn new(height: Range<f32>, last: u32, values: &[f64]) -> Self {
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // Values that are all but the same have no range of their own: rounding would be drawn as mountains.
        let least = (low.abs().max(high.abs()) * 0.02).max(1e-6);
        let room = ((high - low) * 0.08).max((least - (high - low)) / 2.0);
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self { height, last: f64::from(last), low: (low - room).max(floor), high: high + room }
    }

    fn place(&self, step: u32, loss: f64) -> Point {
        let along = (f64::from(step) / self.last) as f32;
        let up = ((loss - self.low) / (self.high - self.low)) as f32;
        let Range { start, end } = self.height;
        (SIDES.start + along * (SIDES.end - SIDES.start), end - up.clamp(0.0, 1.0) * (end - start))
    }

    fn draw(&self, canvas: &mut Canvas) {
        let width = (SIDES.end - SIDES.start) as u32;
        let (steps, _) = ticks(0.0, self.last, 8);
        let (losses, decimals) = ticks(self.low, self.high, ((self.height.end - self.height.start) / 60.0) as u32);
        for loss in losses {
            let y = self.place(0, loss).1;
            canvas.rectangle((SIDES.start as i32, y.round() as i32), (width, 1), GRID);
            let label = format!("{loss:.decimals$}");
            canvas.text(&label, (SIDES.start - 12.0, y + TEXT * 0.35), TEXT, SOFT, Anchor::Right);
        }
        let bottom = self.height.end;
        canvas.rectangle((SIDES.start as i32, bottom as i32), (width, 1), AXIS);
        for step in steps.into_iter().filter(|step| step.fract() == 0.0) {
            let x = SIDES.start + (step / self.last) as f32 * (SIDES.end - SIDES.start);
            canvas.rectangle((x.round() as i32, bottom as i32), (1, 6), AXIS);
            // Said once, under the lowest panel.
            if bottom == LOWER.end {
                canvas.text(&thousands(step as u64), (x, bottom + 30.0), TEXT, SOFT, Anchor::Centre);
            }
        }
    }

    /// Says above the panel what it shows, behind a piece of its line; returns the middle of that piece.
    fn heading(&self, canvas: &mut Canvas, text: &str, thickness: f32, colour: Colour) -> Point {
        let baseline = self.height.start - 26.0;
        let middle = baseline - TEXT * 0.34;
        canvas.line(&[(SIDES.start + 2.0, middle), (SIDES.start + 34.0, middle)], thickness, colour);
        canvas.text(text, (SIDES.start + 46.0, baseline), TEXT, STRONG, Anchor::Left);
        (SIDES.start + 18.0, middle)
    }
}

/// Round numbers between two bounds, at most `most` or one more, and the decimals that distinguish them.
fn ticks(low: f64, high: f64, most: u32) -> (Vec<f64>, usize) {
    let rough = (high - low) / f64::from(most);
    let power = rough.log10().floor();
    let unit = 10f64.powf(power);
    let (factor, fine) = [(1.0, 0.0), (2.0, 0.0), (2.5, 1.0), (5.0, 0.0), (10.0, -1.0)]
        .into_iter()
        .find(|(factor, _)| factor * unit >= rough * 0.999)
        .unwrap_or((10.0, -1.0));
    let step = factor * unit;
    if !step.is_normal() {
        return (Vec::new(), 0);
    }
    let decimals = (fine - power).clamp(0.0, 12.0) as usize;
    let first = (low / step).ceil();
    // Counted, not compared: a step too small to change a large number would never get there.
    let count = ((high / step).floor() - first + 1.0).clamp(0.0, f64::from(most) + 2.0) as u32;
    // Adding zero turns -0 into 0.
    ((0..count).map(|index| (first + f64::from(index)) * step + 0.0).collect(), decimals)
}

/// `12345` as `12,345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
