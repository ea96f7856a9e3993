//! `pseudoword collect`: what became of many runs, in one table, and on one sheet of pictures.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::thumbnail;
use serde_json::{Map, Value, json};

use super::args::CollectArgs;
use super::output::Output;
use super::train::{Left, SETTINGS, left_in, read_picture};
use crate::base::bytes::sha256;
use crate::base::files::{self, check_writable, folder_of, numbered, write_whole};
use crate::base::text::{counted, json_seen};
use crate::image::find::find_pictures;
use crate::image::{Picture, Sheet, SheetRow, encode_png};
use crate::{Error, Result};

/// How deep runs are looked for in a folder that is given.
const DEEPEST: u32 = 4;
/// Pictures that are learned from, on the sheet.
const PICTURES: usize = 4;
/// The side of a picture on the sheet, at most.
const SIDE: u32 = 128;
/// Words on a sheet; more of them are on further ones.
const ROWS: usize = 100;

/// The columns of the table.
const COLUMNS: [&str; 22] = [
    "token",
    "second_token",
    "folder",
    "kind",
    "model",
    "init",
    "vectors",
    "seed",
    "pictures",
    "steps",
    "of",
    "finished",
    "loss_first",
    "loss_last",
    "unseen_first",
    "unseen_last",
    "level",
    "score",
    "overfitted",
    "text",
    "advice",
    "embedding",
];

/// A run, as its folder tells of it.
struct Row {
    left: Left,
    /// The fields of the table, by their columns.
    fields: Map<String, Value>,
}

/// Collects.
///
/// # Errors
/// [`Error::Usage`] if there is nothing to collect, or files are in the way; [`Error::Read`] and [`Error::Write`].
pub(super) fn run(args: &CollectArgs, out: &mut Output) -> Result<()> {
    let is_json =
        match args.out.extension().map(|extension| extension.to_ascii_lowercase()).as_ref().and_then(|e| e.to_str()) {
            Some("csv") => false,
            Some("json") => true,
            _ => return Err(Error::Usage(format!("--out {}: it must end in .csv or .json", args.out.display()))),
        };
    let (mut folders, mut unread) = (Vec::new(), Vec::new());
    for folder in &args.folders {
        fs::read_dir(folder).map_err(|source| Error::Read { path: folder.clone(), source })?;
        runs_in(folder, DEEPEST, &mut folders, &mut unread);
    }
    // What is named twice is one run.
    let mut known = HashSet::new();
    folders.retain(|folder| known.insert(fs::canonicalize(folder).unwrap_or_else(|_| folder.clone())));
    for folder in unread {
        let file = folder.join(SETTINGS);
        out.message(&format!("{} has no settings of a run in it, so this folder is left out", file.display()));
    }
    let rows: Vec<Row> = folders.iter().filter_map(|folder| left_in(folder)).map(Row::of).collect();
    if rows.is_empty() {
        let places: Vec<String> = args.folders.iter().map(|folder| folder.display().to_string()).collect();
        return Err(Error::Usage(format!("there is no run in {}: a run has a settings.json", places.join(", "))));
    }
    let sheets = if args.no_sheet { 0 } else { rows.len().div_ceil(ROWS) };
    let png = args.out.with_extension("png");
    let sheets: Vec<PathBuf> = (0..sheets).map(|i| if i == 0 { png.clone() } else { numbered(&png, i + 1) }).collect();
    check_writable(folder_of(&args.out))?;
    for path in std::iter::once(&args.out).chain(&sheets) {
        if path.exists() && !args.overwrite {
            let text = format!("{} exists already: give another --out, or --overwrite to replace it", path.display());
            return Err(Error::Usage(text));
        }
    }
    let table = if is_json { as_json(&rows) } else { as_csv(&rows)? };
    write_whole(&args.out, &table)?;
    for (path, rows) in sheets.iter().zip(rows.chunks(ROWS)) {
        write_whole(path, &encode_png(&sheet(rows), &[])?)?;
    }
    out.message(&format!("{} in {}", counted(rows.len() as u64, "run"), counted(args.folders.len() as u64, "folder")));
    for (what, path) in std::iter::once(("table", &args.out)).chain(sheets.iter().map(|path| ("sheet", path))) {
        out.object(&json!({"event": "saved", "what": what, "path": path.display().to_string()}))?;
        out.path(path)?;
    }
    Ok(())
}

/// The folders of runs in a folder, in the order of their names: itself, and those inside; and those that look like one and
/// have settings that cannot be read.
fn runs_in(folder: &Path, depth: u32, found: &mut Vec<PathBuf>, unread: &mut Vec<PathBuf>) {
    if left_in(folder).is_some() {
        found.push(folder.to_owned());
    } else if folder.join(SETTINGS).exists() {
        unread.push(folder.to_owned());
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut inside: Vec<PathBuf> = entries.filter(|path| path.is_dir() && !path.is_symlink()).collect();
    inside.sort();
    for path in inside.iter().filter(|_| depth > 1) {
        runs_in(path, depth - 1, found, unread);
    }
}

impl Row {
    fn of(left: Left) -> Self {
        let (settings, report) = (&left.settings, &left.report);
        let judged = if report["quality"].is_object() { &report["quality"] } else { &report["verdict"] };
        let curve = report["losses"]["training"].as_array();
        let loss = |entry: Option<&Value>| entry.map_or(Value::Null, |entry| entry[1].clone());
        let kept =
            judged["states"].as_array().and_then(|states| states.iter().find(|state| state["step"] == judged["kept"]));
        let embeddings: Vec<String> = left.embeddings.iter().map(|path| path.display().to_string()).collect();
        let values = [
            settings["token"].clone(),
            settings["second-token"].clone(),
            json!(left.folder.display().to_string()),
            settings["kind"].clone(),
            report["model"].clone(),
            settings["init"].clone(),
            settings["vectors"].clone(),
            settings["seed"].clone(),
            json!(
                settings["pictures"].as_array().map(|pictures| pictures
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(";"))
            ),
            report["steps"].clone(),
            report["of"].clone(),
            json!(report["steps"].is_u64() && report["steps"] == report["of"]),
            loss(curve.and_then(|curve| curve.first())),
            loss(curve.and_then(|curve| curve.last())),
            report["losses"]["unseen"][0].clone(),
            report["losses"]["unseen"][1].clone(),
            judged["level"].clone(),
            kept.map_or(Value::Null, |state| state["score"].clone()),
            judged["overfitted"].clone(),
            judged["text"].clone(),
            judged["advice"].clone(),
            json!(embeddings.join(";")),
        ];
        let fields = COLUMNS.iter().map(|name| (*name).to_owned()).zip(values).collect();
        Self { left, fields }
    }
}

fn as_json(rows: &[Row]) -> Vec<u8> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut object = row.fields.clone();
            let hashes = row.left.embeddings.iter().map(|path| files::read(path).ok().map(sha256));
            object.insert("sha256".to_owned(), json!(hashes.collect::<Vec<_>>()));
            object.insert("losses".to_owned(), row.left.report["losses"].clone());
            object.insert("settings".to_owned(), row.left.settings.clone());
            Value::Object(object)
        })
        .collect();
    serde_json::to_string_pretty(&rows).map(json_seen).unwrap_or_default().into_bytes()
}

fn as_csv(rows: &[Row]) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::Internal(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(failed)?;
    for row in rows {
        let cells = COLUMNS.iter().map(|column| match &row.fields[*column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        writer.write_record(cells).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Error::Internal(error.to_string()))
}

/// A word in a row: pictures that it is learned from, and its previews before the first step and after the last.
fn sheet(rows: &[Row]) -> RgbImage {
    let small = |picture: &RgbImage| {
        let (width, height) = picture.dimensions();
        let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        if scale < 1.0 { thumbnail(picture, side(width), side(height)) } else { picture.clone() }
    };
    let row = |row: &Row| {
        let given: Vec<PathBuf> = row.left.settings["pictures"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(PathBuf::from)
            .collect();
        // What has been moved away since leaves its cell open.
        let found = find_pictures(&given).map(|found| found.pictures).unwrap_or_default();
        let mut pictures: Vec<Option<RgbImage>> =
            found.iter().take(PICTURES).map(|path| read(path).as_ref().map(small)).collect();
        pictures.resize(PICTURES, None);
        let previews = &row.left.previews;
        let first = previews.first().filter(|(step, _)| *step == 0);
        let last = previews.last().filter(|(step, _)| *step > 0);
        for preview in [first, last] {
            pictures.push(preview.and_then(|(_, path)| read(path)).as_ref().map(small));
        }
        SheetRow { label: label(&row.fields), pictures }
    };
    let mut columns = vec![String::new(); PICTURES];
    columns[0] = "learned from".to_owned();
    columns.extend(["before the first step".to_owned(), "after the last".to_owned()]);
    Sheet { title: None, columns, rows: rows.iter().map(row).collect() }.render()
}

fn read(path: &Path) -> Option<RgbImage> {
    Some(Picture::decode(&path.display().to_string(), &read_picture(path).ok()?).ok()?.pixels)
}

/// What stands beside a word's pictures.
fn label(fields: &Map<String, Value>) -> String {
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    let number = |name: &str| fields[name].as_f64();
    let tokens = [text("token"), text("second_token")].into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let fell = number("loss_first").zip(number("loss_last")).filter(|(first, _)| *first > 0.0);
    let mut parts = vec![tokens];
    parts.extend(number("steps").map(|steps| format!("{steps} steps")));
    parts.extend(fell.map(|(first, last)| format!("loss {:+.0} %", 100.0 * (last / first - 1.0))));
    parts.extend(text("level"));
    parts.extend(number("score").map(|score| format!("{score:.2}")));
    if fields["finished"] != true {
        parts.push("not finished".to_owned());
    }
    parts.join(", ")
}
