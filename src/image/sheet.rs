//! A sheet: pictures in labelled rows and columns, to look at and to show.

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::draw::{Anchor, Canvas, Colour, text_width, wrap};

/// Cells are at least this large: small pictures are magnified by a whole factor.
const MIN_CELL: u32 = 128;
/// Cells are at most this large: larger pictures are scaled down.
const MAX_CELL: u32 = 512;

const PAGE: Colour = [246, 246, 244];
const FRAME: Colour = [222, 222, 218];
const MISSING: Colour = [236, 236, 233];
const STRONG: Colour = [32, 33, 36];
const SOFT: Colour = [95, 99, 104];

/// Pictures in rows and columns.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// A line above everything.
    pub title: Option<String>,
    /// Headings of the columns, from the left; fewer than columns is fine.
    pub columns: Vec<String>,
    /// The rows, from the top.
    pub rows: Vec<SheetRow>,
}

/// One row of a [`Sheet`].
#[derive(Debug, Clone, Default)]
pub struct SheetRow {
    /// What stands to its left, such as a prompt.
    pub label: String,
    /// Its pictures; `None` leaves a cell open.
    pub pictures: Vec<Option<RgbImage>>,
}

impl Sheet {
    /// Draws the sheet. All cells have one size, decided by the largest picture.
    pub fn render(&self) -> RgbImage {
        let plan = Plan::of(self);
        let mut canvas = Canvas::new(plan.width, plan.height, PAGE);
        for (index, line) in plan.title.iter().enumerate() {
            let baseline = plan.margin as f32 + plan.title_size() * (0.9 + 1.3 * index as f32);
            canvas.text(line, (plan.margin as f32, baseline), plan.title_size(), STRONG, Anchor::Left);
        }
        for (column, lines) in plan.headings.iter().enumerate() {
            // The last line stands just above the cells, so that short and long headings share a foot.
            for (from_last, line) in lines.iter().rev().enumerate() {
                let baseline = plan.top as f32 - plan.text * (0.75 + 1.3 * from_last as f32);
                let centre = plan.left(column) as f32 + plan.cell.0 as f32 / 2.0;
                canvas.text(line, (centre, baseline), plan.text, SOFT, Anchor::Centre);
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            let top = plan.row(index);
            let lines = &plan.labels[index];
            // The optical middle of a line lies about a third of its size above the baseline.
            let first =
                (top as f32) + plan.cell.1 as f32 / 2.0 + plan.text * (0.35 - 0.65 * (lines.len() as f32 - 1.0));
            for (index, line) in lines.iter().enumerate() {
                let baseline = first + plan.text * 1.3 * index as f32;
                canvas.text(line, (plan.margin as f32, baseline), plan.text, STRONG, Anchor::Left);
            }
            for column in 0..plan.columns {
                let picture = row.pictures.get(column).and_then(Option::as_ref);
                plan.draw_cell(&mut canvas, picture, (plan.left(column), top));
            }
        }
        canvas.into_image()
    }
}

/// Where everything goes.
struct Plan {
    title: Vec<String>,
    headings: Vec<Vec<String>>,
    labels: Vec<Vec<String>>,
    columns: usize,
    cell: (u32, u32),
    /// Size of labels and headings; grows with the cells, since large sheets are viewed scaled down.
    text: f32,
    margin: u32,
    gap: u32,
    label_width: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Plan {
    fn of(sheet: &Sheet) -> Self {
        let columns = sheet.rows.iter().map(|row| row.pictures.len()).max().unwrap_or(0).max(sheet.columns.len());
        let pictures = sheet.rows.iter().flat_map(|row| row.pictures.iter().flatten());
        let cell = pictures.filter(|picture| !is_empty(picture)).map(shown).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
        let cell = cell.unwrap_or((MIN_CELL, MIN_CELL));
        let zoom = (cell.0.min(cell.1) as f32 / MIN_CELL as f32).sqrt().clamp(1.0, 2.0);
        let text = 15.0 * zoom;
        let (margin, gap) = ((28.0 * zoom) as u32, (10.0 * zoom) as u32);

        // Labels get a column as wide as the longest, up to one and a half cells; beyond, they wrap.
        let longest = sheet.rows.iter().map(|row| text_width(&row.label, text)).fold(0.0, f32::max);
        let room = longest.min(cell.0.max(MIN_CELL) as f32 * 1.5).ceil();
        let label_lines = ((cell.1 as f32 / (text * 1.3)) as usize).max(1);
        let labels = sheet.rows.iter().map(|row| wrap(&row.label, text, room, label_lines)).collect();
        let label_width = if room > 0.0 { room as u32 + 2 * gap } else { 0 };

        let headings: Vec<_> = sheet.columns.iter().map(|heading| wrap(heading, text, cell.0 as f32, 3)).collect();
        let heading_lines = headings.iter().map(Vec::len).max().unwrap_or(0);

        let cells = columns as u32 * (cell.0 + gap);
        let mut plan = Self {
            title: Vec::new(),
            headings,
            labels,
            columns,
            cell,
            text,
            margin,
            gap,
            label_width,
            top: 0,
            width: 2 * margin + label_width + cells.saturating_sub(gap),
            height: 0,
        };
        if let Some(title) = &sheet.title {
            // A title should not be squeezed into a sheet of one picture.
            let room = ((plan.width - 2 * margin) as f32).max(text_width(title, plan.title_size()).min(360.0 * zoom));
            plan.width = plan.width.max(2 * margin + room.ceil() as u32);
            plan.title = wrap(title, plan.title_size(), room.ceil(), 2);
        }
        plan.top = margin;
        if !plan.title.is_empty() {
            plan.top += (plan.title_size() * 1.3 * plan.title.len() as f32 + text * 0.8) as u32;
        }
        if heading_lines > 0 {
            plan.top += (text * (1.3 * heading_lines as f32 + 0.6)) as u32;
        }
        let rows = sheet.rows.len() as u32 * (cell.1 + gap);
        plan.height = plan.top + rows.saturating_sub(gap) + margin;
        plan
    }

    fn title_size(&self) -> f32 {
        self.text * 1.4
    }

    /// Left edge of a column.
    fn left(&self, column: usize) -> u32 {
        self.margin + self.label_width + column as u32 * (self.cell.0 + self.gap)
    }

    /// Top edge of a row.
    fn row(&self, index: usize) -> u32 {
        self.top + index as u32 * (self.cell.1 + self.gap)
    }

    /// Draws a picture in the middle of its cell, or an empty cell.
    fn draw_cell(&self, canvas: &mut Canvas, picture: Option<&RgbImage>, (left, top): (u32, u32)) {
        let (width, height) = self.cell;
        match picture.filter(|picture| !is_empty(picture)) {
            Some(picture) => {
                let drawn = fit(picture, self.cell);
                let corner = (left + (width - drawn.width()) / 2, top + (height - drawn.height()) / 2);
                // A hairline, or the edge of a white picture could not be seen.
                let outer = (corner.0 as i32 - 1, corner.1 as i32 - 1);
                canvas.rectangle(outer, (drawn.width() + 2, drawn.height() + 2), FRAME);
                canvas.picture(&drawn, corner);
            }
            None => canvas.rectangle((left as i32, top as i32), self.cell, MISSING),
        }
    }
}

fn is_empty(picture: &RgbImage) -> bool {
    picture.width() == 0 || picture.height() == 0
}

/// How large a picture wants to be shown.
fn shown(picture: &RgbImage) -> (u32, u32) {
    let (width, height) = picture.dimensions();
    let long = width.max(height);
    if long > MAX_CELL {
        return scaled((width, height), f64::from(MAX_CELL) / f64::from(long));
    }
    let factor = MIN_CELL.div_ceil(long);
    (width * factor, height * factor)
}

/// A size times a factor.
fn scaled((width, height): (u32, u32), factor: f64) -> (u32, u32) {
    let times = |length: u32| ((f64::from(length) * factor).round() as u32).max(1);
    (times(width), times(height))
}

/// Scales a picture to fit a cell: up by a whole factor, so that no pixel gets more room than another, or down by any.
fn fit(picture: &RgbImage, cell: (u32, u32)) -> RgbImage {
    let (width, height) = picture.dimensions();
    let factor = (f64::from(cell.0) / f64::from(width)).min(f64::from(cell.1) / f64::from(height));
    let factor = if factor >= 1.0 { factor.floor() } else { factor };
    let (width, height) = scaled(picture.dimensions(), factor);
    imageops::resize(picture, width.min(cell.0), height.min(cell.1), FilterType::CatmullRom)
}
