//! What a training run leaves behind: the word, a log, previews, a loss curve.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use serde::Serialize;
use serde_json::json;

use super::files::{check_writable, make_folder, write_whole};
use crate::embedding::Embedding;
use crate::event::{EvaluatedOn, Event};
use crate::image::{Sheet, SheetRow, encode_png, loss_curve};
use crate::{Error, Result};

/// What diffusers calls the file of a learned word.
const WORD: &str = "learned_embeds.safetensors";
/// Previews that fit on a sheet side by side.
const SHEET: usize = 8;

/// The folder of a run.
pub(super) struct RunFolder {
    path: PathBuf,
    log: File,
    begun: Instant,
    train: Vec<(u32, f64)>,
    eval: Vec<(u32, f64)>,
    /// The loss on pictures held back: before the first step, and the last.
    unseen: Option<(f64, f64)>,
    previews: Vec<(u32, PathBuf)>,
}

impl RunFolder {
    /// Finds out, before any work, whether a run can write there, and refuses to touch what an earlier run has learned.
    pub fn check(path: &Path, overwrite: bool) -> Result<()> {
        let word = path.join(WORD);
        if word.exists() && !overwrite {
            let word = word.display();
            return Err(Error::Usage(format!(
                "{word} is there already, from an earlier run: give another --out, or --overwrite to replace it"
            )));
        }
        check_writable(path)
    }

    /// Makes the folder and begins the log with `about`, an object that says what is run.
    pub fn create(path: &Path, about: &impl Serialize) -> Result<Self> {
        make_folder(path)?;
        let previews = path.join("previews");
        // Pictures of an earlier run among those of this one would tell lies.
        for entry in fs::read_dir(&previews).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("step-") && name.ends_with(".png") {
                fs::remove_file(entry.path()).map_err(|source| Error::Write { path: entry.path(), source })?;
            }
        }
        let log = path.join("log.jsonl");
        let file = File::create(&log).map_err(|source| Error::Write { path: log, source })?;
        let begun = Instant::now();
        let mut folder = Self {
            path: path.to_owned(),
            log: file,
            begun,
            train: vec![],
            eval: vec![],
            unseen: None,
            previews: vec![],
        };
        folder.write(about)?;
        Ok(folder)
    }

    fn write(&mut self, entry: &impl Serialize) -> Result<()> {
        #[derive(Serialize)]
        struct Line<'a, T> {
            elapsed: f64,
            #[serde(flatten)]
            entry: &'a T,
        }
        let elapsed = (self.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let failed = |source| Error::Write { path: self.path.join("log.jsonl"), source };
        let mut line = serde_json::to_vec(&Line { elapsed, entry }).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // A whole line in one write, unbuffered: the log is complete up to the moment of any failure.
        self.log.write_all(&line).map_err(failed)
    }

    /// Logs an event.
    pub fn note(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Step { step, loss, .. } => self.train.push((*step, *loss)),
            Event::Evaluation { on: EvaluatedOn::Training, step, loss, .. } => self.eval.push((*step, *loss)),
            _ => {}
        }
        self.write(event)
    }

    /// Saves the word as it is now.
    pub fn save_word(&self, word: &Embedding) -> Result<PathBuf> {
        let path = self.path.join(WORD);
        write_whole(&path, &word.to_safetensors())?;
        Ok(path)
    }

    /// Saves a preview.
    pub fn save_preview(&mut self, step: u32, picture: &RgbImage, text: &[(String, String)]) -> Result<PathBuf> {
        make_folder(&self.path.join("previews"))?;
        let path = self.path.join(format!("previews/step-{step:06}.png"));
        write_whole(&path, &encode_png(picture, text)?)?;
        self.previews.push((step, path.clone()));
        Ok(path)
    }

    /// Draws the loss curve and the sheet of previews, as far as there is something to draw; gives what was written.
    pub fn draw(&self, title: &str, preview_prompt: &str) -> Result<Vec<Event>> {
        let mut written = Vec::new();
        let mut save = |what: &str, name: &str, picture: &RgbImage| {
            let path = self.path.join(name);
            write_whole(&path, &encode_png(picture, &[])?)?;
            written.push(Event::Saved { what: what.to_owned(), path: path.display().to_string() });
            Ok::<_, Error>(())
        };
        if !self.train.is_empty() {
            let unseen =
                self.unseen.map(|(from, to)| format!("; on unseen pictures the loss went from {from:.4} to {to:.4}"));
            let title = format!("{title}{}", unseen.unwrap_or_default());
            save("loss curve", "loss.png", &loss_curve(&title, &self.train, &self.eval))?;
        }
        if self.previews.len() > 1 {
            save("previews", "previews.png", &self.sheet(preview_prompt))?;
        }
        Ok(written)
    }

    /// The first preview, the last, and some in between.
    fn sheet(&self, prompt: &str) -> RgbImage {
        let last = self.previews.len() - 1;
        let shown = SHEET.min(last + 1);
        let picked = (0..shown).map(|i| &self.previews[i * last / (shown - 1)]);
        let mut row = SheetRow::default();
        let mut columns = Vec::new();
        for (step, path) in picked {
            // Read back rather than kept: a run can make hundreds. One that somebody has moved leaves its cell open.
            row.pictures.push(image::open(path).ok().map(|picture| picture.into_rgb8()));
            columns.push(format!("step {step}"));
        }
        Sheet { title: Some(prompt.to_owned()), columns, rows: vec![row] }.render()
    }
}

/// The first line of a log.
pub(super) fn about(
    config: &impl Serialize,
    pictures: &[String],
    model: &str,
    model_hash: Option<&str>,
) -> serde_json::Value {
    json!({
        "event": "run", "version": env!("CARGO_PKG_VERSION"), "model": model, "model_hash": model_hash,
        "pictures": pictures, "config": config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_logged_line_by_line_and_drawn() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("runs/word");
        RunFolder::check(&path, false).unwrap();
        let mut folder = RunFolder::create(&path, &json!({"event": "run"})).unwrap();
        for step in 1..=3 {
            let event = Event::Step { step, of: 3, loss: 0.1, lr: 1e-3, grad_norm: 1.0, row_norm: 1.0, secs: 0.1 };
            folder.note(&event).unwrap();
            folder.save_preview(step, &RgbImage::new(16, 16), &[]).unwrap();
        }
        let log = fs::read_to_string(path.join("log.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1]["elapsed"].is_number() && lines[3]["step"] == 3, "{log}");
        let drawn = folder.draw("title", "a <word>").unwrap();
        assert_eq!(drawn.len(), 2);
        assert!(path.join("loss.png").exists() && path.join("previews.png").exists());

        let word =
            Embedding { token: "<word>".to_owned(), width: 2, rows: vec![1.0, 2.0], metadata: Default::default() };
        let saved = folder.save_word(&word).unwrap();
        assert_eq!(Embedding::read(&fs::read(&saved).unwrap(), "saved", None).unwrap(), word);
        let refused = RunFolder::check(&path, false).unwrap_err();
        assert!(refused.to_string().contains("--overwrite") && refused.to_string().contains("--out"), "{refused}");
        RunFolder::check(&path, true).unwrap();
        RunFolder::create(&path, &json!({})).unwrap();
        assert_eq!(fs::read_dir(path.join("previews")).unwrap().count(), 0);
        assert!(saved.exists());
    }
}
