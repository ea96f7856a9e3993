//! Which tiles products are made in on this GPU: measured once, kept in a small file, read at the next start.
//!
//! Results do not depend on it except for rounding, so a broken file or a failed measurement costs speed at most. In a
//! browser the default sizes serve: compiling the kernels of every tile takes longer there than what a better one
//! saves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wgpu::DeviceType;

use super::Chosen;
use super::kept::{self, Keep, Key};
use crate::base::files::write_with_folder;
use crate::base::lock::{Attempt, FileLock};
use crate::ops::{self, MeasuredTiles, Tiles, faults};
use crate::{Error, Result};

/// A longer file is not one of ours.
const LONGEST: u64 = 1 << 16;
/// How long another process is waited for: far longer than any test takes.
const LONGEST_TURN: Duration = Duration::from_secs(120);
/// How long it waits before it says so.
const UNSAID_TURN: Duration = Duration::from_secs(1);

/// How products are made on a GPU, and how that was decided.
#[derive(Debug)]
pub enum Tuning {
    /// In blocks, as always on a software GPU.
    Blocks,
    /// By Burn: our kernels are switched off.
    Burn,
    /// In tiles of the default sizes: a software GPU is measured on request only.
    Usual,
    /// In tiles of the default sizes, because benchmarking failed.
    Failed(Error),
    /// In tiles that were found to be the fastest.
    Measured {
        /// What was found.
        measured: MeasuredTiles,
        /// The file that keeps it, or why there is none.
        kept: std::result::Result<PathBuf, String>,
    },
    /// In tiles that were found to be the fastest at an earlier start.
    Remembered {
        /// What was found then.
        tiles: Tiles,
        /// The file.
        kept: PathBuf,
    },
}

impl Tuning {
    /// The tiles, if products are made in tiles.
    pub fn tiles(&self) -> Option<Tiles> {
        match self {
            Tuning::Blocks | Tuning::Burn => None,
            Tuning::Usual | Tuning::Failed(_) => Some(Tiles::default()),
            Tuning::Measured { measured, .. } => Some(measured.tiles),
            Tuning::Remembered { tiles, .. } => Some(*tiles),
        }
    }

    /// How it was decided, in one word, for programs.
    pub fn how(&self) -> &'static str {
        match self {
            Tuning::Blocks => "blocks",
            Tuning::Burn => "burn",
            Tuning::Usual => "usual",
            Tuning::Failed(_) => "failed",
            Tuning::Measured { .. } => "measured",
            Tuning::Remembered { .. } => "remembered",
        }
    }

    /// How it was decided, and the tiles, for people.
    pub fn sentence(&self) -> String {
        let tiles = self.tiles().map_or_else(String::new, |tiles| tiles.summary());
        match self {
            Tuning::Blocks => "in blocks, which are fastest on software GPUs".to_owned(),
            Tuning::Burn => "by Burn, since PSEUDOWORD_REFERENCE is set".to_owned(),
            Tuning::Usual => format!("in tiles of the default sizes, as on every software GPU: {tiles}"),
            Tuning::Failed(error) => {
                format!("in tiles of the default sizes, because benchmarking failed ({error}): {tiles}")
            }
            Tuning::Measured { measured, kept } => {
                let kept = match kept {
                    Ok(file) => format!("kept in {}", file.display()),
                    Err(why) => format!("not kept: {why}"),
                };
                format!("in tiles found fastest in {:.1} s of benchmarking, {kept}: {tiles}", measured.seconds)
            }
            Tuning::Remembered { kept, .. } => format!("in tiles found fastest before ({}): {tiles}", kept.display()),
        }
    }
}

/// Decides how products are made on a device from now on; none for the processor.
///
/// What an earlier start kept in `folder` is used, else the tiles are measured and kept there. With `remeasure` they
/// are measured in any case. A software GPU, where that takes long, is measured only with `remeasure`.
pub async fn tune(chosen: &Chosen, folder: Option<&Path>, remeasure: bool) -> Option<Tuning> {
    let info = super::started(chosen)?.info();
    let device = &chosen.device;
    if ops::tiles(device).is_none() {
        return Some(if ops::uses_kernels(device) { Tuning::Blocks } else { Tuning::Burn });
    }
    let file = folder.map(|folder| folder.join(kept::path("tiles", &info)));
    let ways = match (remeasure, info.device_type) {
        (true, _) => Ways::Measure,
        (false, DeviceType::Cpu) => Ways::Remember,
        (false, _) => Ways::RememberOrMeasure,
    };
    let tuning =
        decide(&Key::of(&info, ops::products_version()), file.as_deref(), ways, async || measure(chosen).await).await;
    if let Some(tiles) = tuning.tiles() {
        ops::choose_tiles(device, tiles);
    }
    Some(tuning)
}

/// Measures. Faults that the driver reports during it are forgotten: only the measurement suffers from them.
async fn measure(chosen: &Chosen) -> Result<MeasuredTiles> {
    super::check("the work before measuring tiles")?;
    let measured = ops::measure_tiles(&chosen.device).await;
    if measured.as_ref().is_err_and(|error| !matches!(error, Error::GpuLost { .. })) {
        faults::forgive();
    }
    measured
}

/// The tile of each class of products, by their names.
#[derive(Debug, Serialize, Deserialize)]
struct KeptTiles {
    tiles: BTreeMap<String, String>,
}

/// A file's bytes; none if there is no such file, or it cannot be one of ours.
fn bytes_of(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The program's cache.
pub struct Cache {
    /// Its folder, if there is one.
    pub folder: Option<PathBuf>,
    /// Tells the user that another program's turn is waited for.
    pub say_waiting: fn(),
}

impl Keep for Cache {
    type Turn = Option<FileLock>;

    async fn turn(&self, path: &str) -> Option<FileLock> {
        let path = self.folder.as_ref()?.join(path).with_extension("lock");
        std::fs::create_dir_all(path.parent()?).ok()?;
        let lock = FileLock::open(&path).ok()?;
        let (begun, mut is_said) = (Instant::now(), false);
        loop {
            match lock.attempt() {
                Attempt::Locked => return Some(lock),
                Attempt::Busy if begun.elapsed() < LONGEST_TURN => std::thread::sleep(Duration::from_millis(50)),
                Attempt::Busy | Attempt::Failed(_) => return None,
            }
            if !is_said && begun.elapsed() > UNSAID_TURN {
                (self.say_waiting)();
                is_said = true;
            }
        }
    }

    async fn get(&self, path: &str) -> Option<Vec<u8>> {
        bytes_of(&self.folder.as_ref()?.join(path))
    }

    async fn put(&self, path: &str, bytes: &[u8]) -> std::result::Result<(), String> {
        let folder = self.folder.as_ref().ok_or("there is no folder for it")?;
        write_with_folder(&folder.join(path), bytes).map_err(|error| Error::from(error).to_string())
    }
}

/// How the tiles may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ways {
    /// By measuring, even if the file has a result.
    Measure,
    /// By the file; else the default sizes serve.
    Remember,
    /// By the file; else by measuring.
    RememberOrMeasure,
}

async fn decide(
    key: &Key,
    file: Option<&Path>,
    ways: Ways,
    measure: impl AsyncFnOnce() -> Result<MeasuredTiles>,
) -> Tuning {
    if ways != Ways::Measure
        && let Some(file) = file
        && let Some(tiles) = remembered(key, file)
    {
        return Tuning::Remembered { tiles, kept: file.to_owned() };
    }
    if ways == Ways::Remember {
        return Tuning::Usual;
    }
    match measure().await {
        Ok(measured) => Tuning::Measured { measured, kept: keep(key, file, measured.tiles) },
        Err(error) => Tuning::Failed(error),
    }
}

/// The tiles that a file names.
fn remembered(key: &Key, file: &Path) -> Option<Tiles> {
    let kept: KeptTiles = kept::read(key, &bytes_of(file)?)?;
    Tiles::from_names(|class| kept.tiles.get(class).cloned())
}

fn keep(key: &Key, file: Option<&Path>, tiles: Tiles) -> std::result::Result<PathBuf, String> {
    let file = file.ok_or("there is no folder for it")?;
    let tiles = tiles.names().into_iter().map(|(class, tile)| (class.to_owned(), tile)).collect();
    let about = "the fastest tiles for products on this GPU; without this file they are measured again";
    let bytes = kept::write(key, about, &KeptTiles { tiles })?;
    write_with_folder(file, &bytes).map_err(|error| Error::from(error).to_string())?;
    Ok(file.to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn one_process_at_a_time_finds_out_about_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let turn = |folder: Option<PathBuf>| {
            let cache = Cache { folder, say_waiting: || () };
            pollster::block_on(cache.turn("precision/gpu.json"))
        };
        let first = turn(Some(folder.path().join("cache")));
        assert!(first.is_some());
        let other = FileLock::open(&folder.path().join("cache/precision/gpu.lock")).unwrap();
        assert!(matches!(other.attempt(), Attempt::Busy));
        drop(first);
        assert!(matches!(other.attempt(), Attempt::Locked));
        // What cannot be locked is not waited for.
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(turn(Some(file)).is_none());
        assert!(turn(None).is_none());
    }

    fn key() -> Key {
        let [adapter, driver, kernels] = ["a GPU", "a driver 1.0", "0123"].map(str::to_owned);
        Key { adapter, driver, kernels }
    }

    /// Other tiles than the usual.
    fn measured() -> MeasuredTiles {
        MeasuredTiles { tiles: Tiles::each()[0].1, seconds: 0.5 }
    }

    /// Decides; says how, and whether it was measured for that.
    fn decided(key: &Key, file: &Path, ways: Ways) -> (&'static str, bool) {
        let begun = Cell::new(false);
        let measure = async || {
            begun.set(true);
            Ok(measured())
        };
        let tuning = pollster::block_on(decide(key, Some(file), ways, measure));
        let tiles = if tuning.how() == "usual" { Tiles::default() } else { measured().tiles };
        assert_eq!(tuning.tiles(), Some(tiles), "{tuning:?}");
        if let Tuning::Measured { kept: Ok(kept), .. } | Tuning::Remembered { kept, .. } = &tuning {
            assert_eq!(kept, file);
        }
        (tuning.how(), begun.get())
    }

    const NEW: (&str, bool) = ("measured", true);
    const OLD: (&str, bool) = ("remembered", false);

    #[test]
    fn a_choice_is_measured_once_and_again_when_it_does_not_fit_or_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        // Its folder is not there yet.
        let file = folder.path().join("cache/tiles/a.json");
        let either = |key: &Key| decided(key, &file, Ways::RememberOrMeasure);
        assert_eq!(decided(&key(), &file, Ways::Remember), ("usual", false));
        assert_eq!(either(&key()), NEW);
        assert_eq!(either(&key()), OLD);
        assert_eq!(decided(&key(), &file, Ways::Remember), OLD);
        assert_eq!(decided(&key(), &file, Ways::Measure), NEW);

        for other in [
            Key { adapter: "another GPU".to_owned(), ..key() },
            Key { driver: "a driver 1.1".to_owned(), ..key() },
            Key { kernels: "4567".to_owned(), ..key() },
        ] {
            assert_eq!(either(&other), NEW, "{other:?}");
            assert_eq!(either(&other), OLD, "{other:?}");
        }

        assert_eq!(either(&key()), NEW);
        let whole = std::fs::read_to_string(&file).unwrap();
        let damaged = [
            String::new(),
            whole[..whole.len() / 2].to_owned(),
            whole.replace("\"small\"", "\"smell\""),
            whole.replace("128x64", "129x64"),
            "{}".to_owned(),
            "\u{0}".repeat(100),
            // Longer than it can be.
            " ".repeat(1 << 17) + &whole,
        ];
        for (i, damaged) in damaged.iter().enumerate() {
            assert_ne!(*damaged, whole);
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(either(&key()), NEW, "{i}");
            assert_eq!(either(&key()), OLD, "{i}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    }

    #[test]
    fn default_sizes_stay_where_measuring_fails_and_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let failing =
            async || Err(Error::GpuLost { during: "a test".to_owned(), reason: "it was pulled out".to_owned() });
        let tuning = pollster::block_on(decide(&key(), Some(&file), Ways::RememberOrMeasure, failing));
        assert_eq!((tuning.tiles(), tuning.how()), (Some(Tiles::default()), "failed"));
        assert!(tuning.sentence().contains("it was pulled out"), "{}", tuning.sentence());
        assert!(!file.exists());
    }

    #[test]
    fn a_choice_that_cannot_be_kept_is_used_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "a file where a folder should be").unwrap();
        for (file, why) in [(Some(folder.path().join("a/b.json")), "not kept"), (None, "there is no folder")] {
            let key = key();
            let tuning = decide(&key, file.as_deref(), Ways::RememberOrMeasure, async || Ok(measured()));
            let tuning = pollster::block_on(tuning);
            assert_eq!(tuning.tiles(), Some(measured().tiles));
            assert!(tuning.sentence().contains(why), "{}", tuning.sentence());
        }
    }
}
