//! A small canvas for sheets and curves: rectangles, smooth lines and dots, pictures, and text in the bundled font.
//!
//! Everything is clipped to the canvas, so callers need not be careful at the edges. Lengths are in pixels.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage, imageops};

/// Roboto Regular, Apache-2.0: see `font/README.md`.
static FONT: LazyLock<FontRef<'static>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("font/roboto.ttf")).expect("the bundled font is a font"));

pub(super) type Colour = [u8; 3];
/// (x, y) from the top left corner.
pub(super) type Point = (f32, f32);

/// The part of a line of text that is at the given x.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// A picture being drawn.
pub(super) struct Canvas {
    image: RgbImage,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32, background: Colour) -> Self {
        Self { image: RgbImage::from_pixel(width.max(1), height.max(1), Rgb(background)) }
    }

    pub(super) fn into_image(self) -> RgbImage {
        self.image
    }

    /// Mixes a colour into a pixel.
    fn blend(&mut self, x: i32, y: i32, colour: Colour, alpha: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            for (under, over) in pixel.0.iter_mut().zip(colour) {
                let mixed = f32::from(*under) + (f32::from(over) - f32::from(*under)) * alpha.clamp(0.0, 1.0);
                *under = mixed.round() as u8;
            }
        }
    }

    /// Fills a rectangle.
    pub(super) fn rectangle(&mut self, (left, top): (i32, i32), (width, height): (u32, u32), colour: Colour) {
        let (right, bottom) = (left.saturating_add_unsigned(width), top.saturating_add_unsigned(height));
        for y in top.max(0)..bottom.min(self.image.height() as i32) {
            for x in left.max(0)..right.min(self.image.width() as i32) {
                self.image.put_pixel(x as u32, y as u32, Rgb(colour));
            }
        }
    }

    /// Puts a picture with its top left corner at a point.
    pub(super) fn picture(&mut self, picture: &RgbImage, (left, top): (u32, u32)) {
        imageops::replace(&mut self.image, picture, i64::from(left), i64::from(top));
    }

    /// Draws a smooth dot.
    pub(super) fn dot(&mut self, (x, y): Point, radius: f32, colour: Colour, alpha: f32) {
        for py in (y - radius - 1.0).floor() as i32..=(y + radius + 1.0).ceil() as i32 {
            for px in (x - radius - 1.0).floor() as i32..=(x + radius + 1.0).ceil() as i32 {
                let distance = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y);
                self.blend(px, py, colour, (radius + 0.5 - distance).clamp(0.0, 1.0) * alpha);
            }
        }
    }

    /// Draws a smooth line through points, with round ends and joints.
    pub(super) fn line(&mut self, points: &[Point], thickness: f32, colour: Colour) {
        // Each pixel takes the most that any piece covers of it: blending piece by piece would thicken the joints.
        let (width, height) = (self.image.width() as i32, self.image.height() as i32);
        let mut cover = vec![0.0f32; (width * height) as usize];
        let reach = thickness / 2.0 + 1.0;
        for ends in points.windows(2) {
            let (from, to) = (ends[0], ends[1]);
            let top = (from.1.min(to.1) - reach).floor().max(0.0) as i32;
            let bottom = ((from.1.max(to.1) + reach).ceil() as i32).min(height - 1);
            let left = (from.0.min(to.0) - reach).floor().max(0.0) as i32;
            let right = ((from.0.max(to.0) + reach).ceil() as i32).min(width - 1);
            for y in top..=bottom {
                for x in left..=right {
                    let distance = distance((x as f32 + 0.5, y as f32 + 0.5), from, to);
                    let covered = (thickness / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
                    let cell = &mut cover[(y * width + x) as usize];
                    *cell = cell.max(covered);
                }
            }
        }
        for (index, &covered) in cover.iter().enumerate().filter(|(_, covered)| **covered > 0.0) {
            let index = index as i32;
            self.blend(index % width, index / width, colour, covered);
        }
    }

    /// Writes one line of text; `y` is its baseline.
    pub(super) fn text(&mut self, text: &str, (x, y): Point, size: f32, colour: Colour, anchor: Anchor) {
        let start = match anchor {
            Anchor::Left => x,
            Anchor::Centre => x - text_width(text, size) / 2.0,
            Anchor::Right => x - text_width(text, size),
        };
        let scale = scale(size);
        // A baseline between two rows of pixels would blur every letter's foot.
        let baseline = y.round();
        for (glyph, offset) in placed(text, size) {
            let Some(outline) =
                FONT.outline_glyph(glyph.with_scale_and_position(scale, point(start + offset, baseline)))
            else {
                continue; // a space
            };
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, covered| {
                self.blend(corner.x as i32 + dx as i32, corner.y as i32 + dy as i32, colour, covered);
            });
        }
    }
}

/// How far a point is from the straight piece between two others.
fn distance(point: Point, from: Point, to: Point) -> f32 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx * dx + dy * dy;
    let along =
        if length > 0.0 { (((point.0 - from.0) * dx + (point.1 - from.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (point.0 - from.0 - along * dx).hypot(point.1 - from.1 - along * dy)
}

/// ab_glyph's scale, which counts ascender to descender, for a size in the usual sense (the em).
fn scale(size: f32) -> PxScale {
    let em = FONT.units_per_em().unwrap_or(2048.0);
    PxScale::from(size * FONT.height_unscaled() / em)
}

/// The glyphs of a line and how far each stands from its start.
fn placed(text: &str, size: f32) -> Vec<(ab_glyph::GlyphId, f32)> {
    let font = FONT.as_scaled(scale(size));
    let mut x = 0.0;
    let mut previous = None;
    let mut glyphs = Vec::new();
    for glyph in text.chars().map(|c| font.glyph_id(c)) {
        x += previous.map_or(0.0, |left| font.kern(left, glyph));
        glyphs.push((glyph, x));
        x += font.h_advance(glyph);
        previous = Some(glyph);
    }
    glyphs
}

/// How wide a line of text is.
pub(super) fn text_width(text: &str, size: f32) -> f32 {
    let font = FONT.as_scaled(scale(size));
    placed(text, size).last().map_or(0.0, |&(glyph, x)| x + font.h_advance(glyph))
}

/// Breaks text into lines of at most `width`, at spaces where there are any; what does not fit into `most` lines
/// becomes `…`.
pub(super) fn wrap(text: &str, size: f32, width: f32, most: usize) -> Vec<String> {
    let fits = |line: &str| text_width(line, size) <= width;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a line from the start");
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if fits(&longer) {
            *line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        for c in word.chars() {
            let line = lines.last_mut().expect("there is a line from the start");
            line.push(c);
            if !fits(line) && line.chars().count() > 1 {
                line.pop();
                lines.push(c.to_string());
            }
        }
        if lines.len() > most {
            break; // the rest cannot be shown: no need to measure it
        }
    }
    if lines.len() > most {
        lines.truncate(most.max(1));
        let last = lines.last_mut().expect("one line was kept");
        while !last.is_empty() && !fits(&format!("{last}…")) {
            last.pop();
        }
        last.truncate(last.trim_end().len());
        last.push('…');
    }
    lines.retain(|line| !line.is_empty());
    lines
}
