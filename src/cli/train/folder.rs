//! What a training run leaves behind: the embedding, a log, previews, a loss curve, and what explains and repeats them.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::{Value, json};

use super::lock::Lock;
use super::log::Log;
use super::names::{self, BUG_REPORT, LOG, LOSS_CURVE, MASKS, PREVIEW_SHEET, PREVIEWS, README, REPORT, SETTINGS};
use super::state_files::{self, ResumableRun};
use crate::base::files::{make_folder, sweep, write_whole};
use crate::base::text::{json_seen, one_line};
use crate::cli::wording;
use crate::embedding::Embedding;
use crate::event::{EvaluatedOn, Event, WarningCode};
use crate::image::{Sheet, SheetRow, encode_png, loss_curve};
use crate::{Error, Result};

/// Previews that fit on a sheet side by side.
const SHEET: usize = 8;

/// The folder of a run.
pub(super) struct RunFolder {
    /// Where the run works: the folder that is locked, or one from which everything is published there.
    path: PathBuf,
    lock: Lock,
    log: Log,
    /// Whether the log could not be written, which is reported once.
    log_failed: bool,
    /// What the folder says of itself: the first line of its log, its guide and its settings.
    about: Value,
    guide: [(&'static str, Vec<u8>); 2],
    train: Vec<(u32, f64)>,
    eval: Vec<(u32, f64)>,
    /// The loss on pictures held back: before the first step, and the last.
    unseen: Option<(f64, f64)>,
    previews: Vec<(u32, PathBuf)>,
    /// The kind of device and its name, of a run that resumes.
    device: Option<(String, String)>,
    /// In which precision a run that resumes made products.
    products: Option<String>,
    /// Embeddings of the run that was here before, which this one will not replace.
    stale: Vec<PathBuf>,
}

/// The run that is in a folder; none if one can begin there, whose embeddings will have these files.
///
/// # Errors
/// [`Error::Usage`] if there is nothing to resume, or only an embedding that must not be touched; [`Error::BadFile`] if
/// the state of the run is damaged.
pub(super) fn find(path: &Path, files: &[String], overwrite: bool, resume: bool) -> Result<Option<ResumableRun>> {
    if overwrite {
        return Ok(None);
    }
    let found = state_files::find(path, files)?;
    let earlier = files.iter().map(|file| path.join(file)).find(|file| file.exists());
    match (found, earlier) {
        (None, _) if resume => Err(Error::Usage(format!(
            "there is no run in {} to resume: leave out --resume to start one",
            path.display()
        ))),
        (None, Some(earlier)) => Err(Error::Usage(format!(
            "{} exists already: give another --out, or --overwrite to replace it",
            earlier.display()
        ))),
        (found, _) => Ok(found),
    }
}

impl RunFolder {
    /// Begins a run in a folder that is locked: nothing of an earlier one is left but its embedding, which will be
    /// replaced.
    pub fn begin(path: &Path, lock: Lock, about: Value, settings: &Value) -> Result<Self> {
        // Loading a model takes long enough for a machine to fall asleep.
        lock.check()?;
        let home = lock.folder().to_owned();
        for place in [path, &home] {
            state_files::forget(place)?;
            sweep(place);
            // Pictures of an earlier run would be taken for those of this one.
            for (_, old) in previews(place) {
                fs::remove_file(&old).map_err(|source| Error::Write { path: old, source })?;
            }
        }
        let at = path.join(LOG);
        let log = Log::create(&at).map_err(|source| Error::Write { path: at, source })?;
        let earlier = embeddings_of_run(&home);
        let mut folder = Self::with(path, lock, log, about, settings);
        folder.explain()?;
        let now = embeddings_of_run(path);
        folder.stale = earlier.into_iter().filter(|file| !now.contains(file)).map(|file| home.join(file)).collect();
        let about = folder.about.clone();
        folder.log.add(&about).map_err(|source| Error::Write { path: path.join(LOG), source })?;
        Ok(folder)
    }

    /// Resumes the run in a folder that is locked, from the step that its state has.
    pub fn resume(path: &Path, lock: Lock, about: Value, settings: &Value, step: u32) -> Result<Self> {
        lock.check()?;
        sweep(path);
        sweep(lock.folder());
        let at = path.join(LOG);
        let (log, entries) = Log::resume(&at).map_err(|source| Error::Write { path: at, source })?;
        let mut folder = Self::with(path, lock, log, about, settings);
        for entry in &entries {
            folder.remember(entry);
        }
        let device = entries.iter().rfind(|entry| entry["event"] == "device");
        folder.device =
            device.and_then(|entry| Some((entry["kind"].as_str()?.to_owned(), entry["name"].as_str()?.to_owned())));
        let precision = entries.iter().rfind(|entry| entry["event"] == "precision");
        folder.products = precision.and_then(|entry| Some(entry["products"].as_str()?.to_owned()));
        // What came after the state is made again.
        folder.forget_after(step);
        folder.previews = previews(path).into_iter().filter(|(made, _)| *made <= step).collect();
        folder.explain()?;
        let about = folder.about.clone();
        folder.log.add(&about).map_err(|source| Error::Write { path: path.join(LOG), source })?;
        Ok(folder)
    }

    fn with(path: &Path, mut lock: Lock, log: Log, about: Value, settings: &Value) -> Self {
        lock.stay();
        let settings = serde_json::to_string_pretty(settings).map(json_seen).unwrap_or_default().into_bytes();
        let guide = [(README, guide(lock.folder(), &about).into_bytes()), (SETTINGS, settings)];
        Self {
            path: path.to_owned(),
            lock,
            log,
            log_failed: false,
            about,
            guide,
            train: vec![],
            eval: vec![],
            unseen: None,
            previews: vec![],
            device: None,
            products: None,
            stale: vec![],
        }
    }

    fn explain(&self) -> Result<()> {
        Ok(self.guide.iter().try_for_each(|(name, text)| write_whole(&self.path.join(name), text))?)
    }

    /// Makes the folder again if it was removed or moved; gives whether it was.
    pub fn make_again(&mut self) -> Result<bool> {
        let home = self.lock.folder().to_owned();
        let (is_gone, home_is_gone) = (!self.path.exists(), !home.exists());
        if home_is_gone {
            self.lock = Lock::take(&home, &mut |_| ())?;
            self.lock.stay();
        }
        if !is_gone {
            return Ok(home_is_gone);
        }
        make_folder(&self.path)?;
        self.explain()?;
        let failed = |source| Error::Write { path: self.path.join(LOG), source };
        self.log.again().map_err(failed)?;
        self.log.add(&self.about).map_err(failed)?;
        Ok(true)
    }

    /// That the folder is still this run's.
    ///
    /// # Errors
    /// [`Error::Held`] if another run has taken it over.
    pub fn check(&self) -> Result<()> {
        self.lock.check()
    }

    /// Where the run works.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of the run is when it is published.
    pub fn shown(&self, path: PathBuf) -> PathBuf {
        path.strip_prefix(&self.path).map_or_else(|_| path.clone(), |name| self.lock.folder().join(name))
    }

    /// In which precision the run made products before.
    pub fn products(&self) -> &str {
        self.products.as_deref().unwrap_or("f32")
    }

    /// The kind and the name of the device that the run was on before.
    pub fn device(&self) -> Option<&(String, String)> {
        self.device.as_ref()
    }

    /// Logs an event; gives a warning if that fails for the first time. No run ends because of its log.
    pub fn note(&mut self, event: &Event) -> Option<Event> {
        let event = &wording::of_event(event);
        if let Ok(entry) = serde_json::to_value(event) {
            self.remember(&entry);
        }
        match self.log.add(event) {
            Ok(()) => {
                self.log_failed = false;
                None
            }
            Err(_) if self.log_failed => None,
            Err(error) => {
                self.log_failed = true;
                let text =
                    format!("cannot write {}: {error}; the log is kept in memory", self.path.join(LOG).display());
                Some(Event::warning(WarningCode::Log, text))
            }
        }
    }

    /// Takes from an entry of the log what the curves are drawn from.
    fn remember(&mut self, entry: &Value) {
        let number = |name: &str| entry[name].as_f64();
        let Some(step) = entry["step"].as_u64().map(|step| step as u32) else { return };
        match (entry["event"].as_str(), number("loss")) {
            (Some("step"), Some(loss)) => put(&mut self.train, step, loss),
            (Some("evaluation"), Some(loss)) if entry["on"] == json!(EvaluatedOn::Training) => {
                put(&mut self.eval, step, loss);
            }
            (Some("evaluation"), Some(loss)) => self.unseen = Some((number("initial").unwrap_or(loss), loss)),
            (Some("rewound"), _) => self.forget_after(entry["to"].as_u64().unwrap_or_default() as u32),
            _ => {}
        }
    }

    fn forget_after(&mut self, last: u32) {
        self.train.retain(|(step, _)| *step <= last);
        self.eval.retain(|(step, _)| *step <= last);
        self.previews.retain(|(step, _)| *step <= last);
    }

    /// Saves the embeddings as they are now, each in its file; gives these. What an earlier run called otherwise is removed then.
    pub fn save_embeddings(&self, embeddings: &[Embedding]) -> Result<Vec<PathBuf>> {
        let paths = write_embeddings(&self.path, embeddings)?;
        for stale in &self.stale {
            // Where there is none any more, there is nothing to remove.
            let _gone = fs::remove_file(stale);
        }
        Ok(paths.into_iter().map(|path| self.shown(path)).collect())
    }

    /// Saves a preview.
    pub fn save_preview(&mut self, step: u32, picture: &RgbImage, text: &[(String, String)]) -> Result<PathBuf> {
        make_folder(&self.path.join(PREVIEWS))?;
        let path = self.path.join(PREVIEWS).join(format!("step-{step:06}.png"));
        write_whole(&path, &encode_png(picture, text)?)?;
        self.previews.retain(|(made, _)| *made != step);
        self.previews.push((step, path.clone()));
        Ok(self.shown(path))
    }

    /// Saves the sheet of what of the pictures counts.
    pub fn save_masks(&self, sheet: &RgbImage) -> Result<Event> {
        let path = self.path.join(MASKS);
        write_whole(&path, &encode_png(sheet, &[])?)?;
        Ok(Event::Saved { what: "masks".to_owned(), path: self.shown(path).display().to_string() })
    }

    /// Removes the sheet of an earlier run.
    pub fn forget_masks(&self) {
        for place in [&self.path, self.lock.folder()] {
            // Where there is none, there is nothing to remove.
            let _gone = fs::remove_file(place.join(MASKS));
        }
    }

    /// Draws the loss curve and the sheet of previews, as far as there is something to draw; gives what was written.
    pub fn draw(&self, title: &str, preview_prompt: &str) -> Result<Vec<Event>> {
        let mut written = Vec::new();
        let mut save = |what: &str, name: &str, picture: &RgbImage| {
            let path = self.path.join(name);
            write_whole(&path, &encode_png(picture, &[])?)?;
            written.push(Event::Saved { what: what.to_owned(), path: self.shown(path).display().to_string() });
            Ok::<_, Error>(())
        };
        if !self.train.is_empty() {
            let unseen =
                self.unseen.map(|(from, to)| format!("; on unseen pictures the loss went from {from:.4} to {to:.4}"));
            let title = format!("{title}{}", unseen.unwrap_or_default());
            save("loss curve", LOSS_CURVE, &loss_curve(&title, &self.train, &self.eval))?;
        }
        if self.previews.len() > 1 {
            save("previews", PREVIEW_SHEET, &self.sheet(preview_prompt))?;
        }
        Ok(written)
    }

    /// Writes down what came of the run: what is known of its word, with the losses on the fixed batches.
    pub fn save_report(&self, mut report: Value) -> Result<Event> {
        report["losses"] = json!({"training": self.eval, "unseen": self.unseen.map(|(first, last)| [first, last])});
        let path = self.path.join(REPORT);
        write_whole(&path, serde_json::to_string_pretty(&report).map(json_seen).unwrap_or_default().as_bytes())?;
        Ok(Event::Saved { what: "report".to_owned(), path: self.shown(path).display().to_string() })
    }

    /// The first preview, the last, and some in between.
    fn sheet(&self, prompt: &str) -> RgbImage {
        let last = self.previews.len() - 1;
        let shown = SHEET.min(last + 1);
        let picked = (0..shown).map(|i| &self.previews[i * last / (shown - 1)]);
        let mut row = SheetRow::default();
        let mut columns = Vec::new();
        for (step, path) in picked {
            // Read back rather than kept: a run can make hundreds. One that was moved away leaves its cell empty.
            row.pictures.push(image::open(path).ok().map(|picture| picture.into_rgb8()));
            columns.push(format!("step {step}"));
        }
        Sheet { title: Some(prompt.to_owned()), columns, rows: vec![row] }.render()
    }
}

/// Writes embeddings into a folder, each by its name; gives their files.
pub(super) fn write_embeddings(folder: &Path, embeddings: &[Embedding]) -> Result<Vec<PathBuf>> {
    let tokens: Vec<&str> = embeddings.iter().map(|embedding| embedding.token.as_str()).collect();
    let write = |(file, embedding): (String, &Embedding)| {
        let path = folder.join(file);
        write_whole(&path, &embedding.to_safetensors())?;
        Ok(path)
    };
    names::embeddings(&tokens).into_iter().zip(embeddings).map(write).collect()
}

/// The files of the embeddings of the run in a folder, by its settings; none where there are no settings.
fn embeddings_of_run(folder: &Path) -> Vec<String> {
    let settings = fs::read(folder.join(SETTINGS)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    settings.map_or_else(Vec::new, |settings| names::embeddings(&tokens(&settings)))
}

/// The tokens of the words that are learned, in settings.
pub(super) fn tokens(settings: &Value) -> Vec<&str> {
    ["token", "second-token"].into_iter().filter_map(|name| settings[name].as_str()).collect()
}

/// Puts a value at the place of its step: a run that resumes makes some steps again, with the same results.
fn put(curve: &mut Vec<(u32, f64)>, step: u32, value: f64) {
    while curve.pop_if(|(other, _)| *other >= step).is_some() {}
    curve.push((step, value));
}

/// The previews in a folder, with their steps.
pub(super) fn previews(path: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(path.join(PREVIEWS)).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let step = name.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()?;
            Some((step, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// What the folder says about itself to someone who finds it.
fn guide(path: &Path, about: &Value) -> String {
    let tokens = tokens(&about["config"]);
    let several = tokens.len() > 1;
    let learned = format!("the embedding{} {}", if several { "s" } else { "" }, tokens.join(" and "));
    let learned = one_line(&learned);
    let of_file = |(i, file): (usize, String)| {
        let what = if several { tokens[i] } else { "the embedding" };
        format!("{file}  {}, as diffusers writes it\n", one_line(what))
    };
    let embeddings: String = names::embeddings(&tokens).into_iter().enumerate().map(of_file).collect();
    let model = one_line(about["model"].as_str().unwrap_or_default());
    let shown = wording::quoted(&one_line(&path.display().to_string()));
    format!(
        "A run of pseudoword {}: {learned}, learned on the model {model}.\n\n\
         {embeddings}\
         {LOG}                   everything that happened, one JSON object per line\n\
         previews/, previews.png     what the embedding looked like on the way\n\
         {MASKS}                   what of the pictures counts, if they have masks; the rest is dimmed\n\
         loss.png                    the loss of the steps and of the fixed batch\n\
         {SETTINGS}               what the run was started with\n\
         state, state.prev           where the run resumes if it was interrupted\n\
         run.lock                    says which process is using the folder, while one does\n\
         {REPORT}                 what came of it: losses, how good the embedding is, which step it is from\n\
         {BUG_REPORT}             only after a failure, without pictures and prompts\n\n\
         To resume: pseudoword train --out {shown} --config {shown}/{SETTINGS}\n\
         To repeat: pseudoword train --out ANOTHER --config {shown}/{SETTINGS}\n",
        env!("CARGO_PKG_VERSION"),
    )
}

/// The first line of a log.
pub(super) fn about(
    config: &impl serde::Serialize,
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
        let files = names::embeddings(&["<word>"]);
        assert!(find(&path, &files, false, false).unwrap().is_none());
        let about = || json!({"event": "run", "model": "m", "config": {"token": "<word>"}});
        let begin =
            || RunFolder::begin(&path, Lock::take(&path, &mut |_| ()).unwrap(), about(), &json!({"steps": 3})).unwrap();
        let mut folder = begin();
        for step in 1..=3 {
            let event = Event::Step { step, of: 3, loss: 0.1, lr: 1e-3, grad_norm: 1.0, row_norm: 1.0, secs: 0.1 };
            assert_eq!(folder.note(&event), None);
            folder.save_preview(step, &RgbImage::new(16, 16), &[]).unwrap();
        }
        let log = fs::read_to_string(path.join("log.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1]["elapsed"].is_number() && lines[3]["step"] == 3, "{log}");
        let drawn = folder.draw("title", "a <word>").unwrap();
        assert_eq!(drawn.len(), 2);
        assert!(path.join("loss.png").exists() && path.join("previews.png").exists());
        let guide = fs::read_to_string(path.join("README.txt")).unwrap();
        assert!(guide.contains("the embedding <word>") && guide.contains("settings.json"), "{guide}");

        let embedding = Embedding::new("<word>", 2, vec![1.0, 2.0]);
        let saved = folder.save_embeddings(std::slice::from_ref(&embedding)).unwrap().remove(0);
        assert_eq!(Embedding::read(&fs::read(&saved).unwrap(), "saved", None).unwrap(), embedding);
        let refused = find(&path, &files, false, false).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("--overwrite") && refused.to_string().contains("--out"), "{refused}");
        assert!(find(&path, &files, false, true).is_err(), "there is nothing to resume");
        assert!(find(&path, &files, true, false).unwrap().is_none());
        drop(folder);

        let lock = Lock::take(&path, &mut |_| ()).unwrap();
        let folder = RunFolder::resume(&path, lock, about(), &json!({}), 2).unwrap();
        assert_eq!((folder.train.len(), folder.previews.len()), (2, 2));
        drop(folder);
        fs::write(path.join(".state.1-0.tmp"), b"half").unwrap();
        drop(begin());
        assert_eq!(fs::read_dir(path.join(PREVIEWS)).unwrap().count(), 0);
        assert!(saved.exists() && !path.join(".state.1-0.tmp").exists());
    }

    #[test]
    fn a_folder_that_vanished_is_made_again() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("run");
        let about = json!({"event": "run"});
        let mut folder = RunFolder::begin(&path, Lock::take(&path, &mut |_| ()).unwrap(), about, &json!({})).unwrap();
        assert!(!folder.make_again().unwrap());
        fs::remove_dir_all(&path).unwrap();
        assert!(folder.make_again().unwrap());
        assert!(path.join("log.jsonl").exists() && path.join("settings.json").exists());
        assert_eq!(Lock::take(&path, &mut |_| ()).map(drop).unwrap_err().kind(), crate::error::Kind::Disk);
    }

    #[test]
    fn steps_that_were_made_again_replace_those_that_were_lost() {
        let mut curve = vec![(1, 0.1), (2, 0.2), (3, 0.3)];
        put(&mut curve, 2, 0.5);
        assert_eq!(curve, [(1, 0.1), (2, 0.5)]);
    }
}
