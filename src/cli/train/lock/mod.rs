//! One run at a time in a folder, also where machines share it.
//!
//! On one machine the system's own lock on an open file decides. It ends with its process, however that ends: none is ever
//! left behind. The file stays, since removing it would let two runs lock two files of one name.
//!
//! Between machines that is not enough. Some file systems have no locks, some keep those of a machine to itself, and some
//! keep the lock of a machine that died. So the file names its holder, who adds to a number in it every few seconds. A run that
//! finds the name of a process of another machine listens: if the number changes, the folder is in use, and clocks play no part in
//! it. If it does not, the run puts a file with its own name in the place of that one and looks again a little later, in case two did
//! so at once: whose name is there then has the lock. Whoever finds another name in the file has lost it. That can be a machine that
//! was asleep, so a run looks before it writes anything.

mod heart;
mod holder;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use self::heart::Heart;
use self::holder::{Holder, described};
use super::names::LOCK;
use crate::base::failpoints;
use crate::base::files::make_folder;
use crate::base::lock::{Attempt, FileLock};
use crate::cli::faults::interrupt;
use crate::cli::output::span;
use crate::{Error, Result};

/// How long is waited for what.
struct Patience {
    /// From one time that the holder says that it is there to the next.
    beat: Duration,
    /// How long another machine listens for that.
    listen: Duration,
    /// The same while the system says that a process has the lock: longer than servers keep the locks of a machine that is gone
    /// (NFS: 90 seconds).
    locked: Duration,
    /// How long a run that takes the lock over waits for another that does so too.
    confirm: Duration,
}

const PATIENCE: Patience = Patience {
    beat: Duration::from_secs(10),
    listen: Duration::from_secs(35),
    locked: Duration::from_secs(120),
    confirm: Duration::from_secs(2),
};

impl Patience {
    fn usual() -> &'static Self {
        /// For tests.
        const SHORT: Patience = Patience {
            beat: Duration::from_millis(500),
            listen: Duration::from_millis(1800),
            locked: Duration::from_secs(6),
            confirm: Duration::from_millis(500),
        };
        if failpoints::pass("impatient").is_some() { &SHORT } else { &PATIENCE }
    }

    /// How long the holder of a lock is listened for, whose file is given if the system says that a process has locked it.
    fn for_one(&self, locked: Option<&FileLock>) -> Duration {
        if locked.is_some() { self.locked } else { self.listen }
    }
}

/// A folder that is ours until this is dropped.
pub(super) struct Lock {
    folder: PathBuf,
    /// None on a lock that was not taken.
    heart: Option<Heart>,
    /// Whether the folder was made for it.
    made: bool,
    /// What the user should know about it: that it cannot be locked, which is why it is used all the same, or that it was taken
    /// over.
    pub warning: Option<String>,
}

/// What came of listening for the holder of a lock.
enum Heard {
    /// It is there, or another has taken its place.
    Alive(Holder),
    /// It has left.
    Left,
    Nothing,
}

impl Lock {
    /// Takes a folder, which is made if it is not there. `say` gets a sentence if that takes a while, and the user can
    /// interrupt that.
    ///
    /// # Errors
    /// [`Error::Held`] if another run works in it, [`Error::Write`] if it cannot be written to, [`Error::Interrupted`].
    pub fn take(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<Self> {
        Self::take_with(folder, Patience::usual(), say)
    }

    fn take_with(folder: &Path, patience: &Patience, say: &mut dyn FnMut(&str)) -> Result<Self> {
        let made = !folder.exists();
        make_folder(folder)?;
        let path = folder.join(LOCK);
        let failed = |source| Error::Write { path: path.clone(), source };
        let held = |holder: Option<&Holder>| Err(Error::Held { folder: folder.to_owned(), holder: described(holder) });
        let mut lock = Self { folder: folder.to_owned(), heart: None, made, warning: None };
        let (file, holder) = loop {
            let mut file = FileLock::open(&path).map_err(failed)?;
            let attempt = file.attempt();
            // What cannot be read is locked (on Windows).
            let before = Holder::read(file.file()).ok().flatten();
            match (&attempt, before) {
                (Attempt::Failed(error), None) => {
                    let holder = Holder::this_process();
                    holder.write(file.file()).map_err(failed)?;
                    thread::sleep(patience.confirm);
                    let now = Holder::at(&path).map_err(failed)?;
                    if !now.as_ref().is_some_and(|now| now.is(&holder)) {
                        return held(now.as_ref());
                    }
                    lock.warning = Some(format!(
                        "{} cannot be locked ({error}): another run notices this one by what it writes to {LOCK}",
                        folder.display()
                    ));
                    break (file, holder);
                }
                (_, Some(before)) if !before.is_here() || matches!(attempt, Attempt::Failed(_)) => {
                    let locked = matches!(attempt, Attempt::Busy).then_some(&file);
                    let (name, folder) = (before.name(), folder.display());
                    let within = span(patience.for_one(locked).as_secs_f64());
                    say(&format!(
                        "{folder} was left by {name}, or is still used by it; listening for it for {within}, then the \
                         folder is taken over"
                    ));
                    match listen(&path, &before, locked, patience)? {
                        Heard::Alive(now) => return held(Some(&now)),
                        Heard::Left => continue,
                        Heard::Nothing => {}
                    }
                    let Some(ours) = taken_over(&path, &before, patience.confirm).map_err(failed)? else {
                        return held(Holder::at(&path).ok().flatten().as_ref());
                    };
                    lock.warning = Some(format!(
                        "the folder {folder} was left by {name}, which is not heard of: it is taken over"
                    ));
                    break ours;
                }
                (Attempt::Busy, before) => return held(before.as_ref()),
                // Ours, with no name in it or that of a process of this machine that is gone; unless another file has its
                // place by now.
                _ if file.is_at(&path) => break (file, Holder::this_process()),
                _ => {}
            }
        };
        lock.heart = Some(Heart::start(file, &path, holder, patience.beat).map_err(failed)?);
        Ok(lock)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Something is in the folder now: it stays, however this ends.
    pub fn stay(&mut self) {
        self.made = false;
    }

    /// That no other run has taken the folder over, which thinks that this one is gone.
    ///
    /// # Errors
    /// [`Error::Held`] if one has: nothing must be written into the folder any more.
    pub fn check(&self) -> Result<()> {
        if !self.heart.as_ref().is_some_and(Heart::is_lost) {
            return Ok(());
        }
        let now = Holder::at(&self.folder.join(LOCK)).ok().flatten();
        let holder = format!("{}, has taken it over from this one", described(now.as_ref()));
        Err(Error::Held { folder: self.folder.clone(), holder })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(mut file) = self.heart.take().and_then(Heart::stop) else { return };
        // A run that never started leaves nothing behind: not even a folder that was made only for the lock.
        let alone = || fs::read_dir(&self.folder).is_ok_and(|entries| entries.count() == 1);
        if self.made && alone() {
            let _removed = fs::remove_file(self.folder.join(LOCK)).and_then(|()| fs::remove_dir(&self.folder));
        } else {
            // Empty means that no process holds it.
            let _cleared = file.file().set_len(0);
        }
    }
}

/// Listens for the holder of a lock.
fn listen(path: &Path, before: &Holder, mut locked: Option<&FileLock>, patience: &Patience) -> Result<Heard> {
    let begun = Instant::now();
    while begun.elapsed() < patience.for_one(locked) {
        if interrupt::asked() {
            return Err(interrupt::reason());
        }
        thread::sleep(patience.beat / 10);
        match Holder::at(path) {
            Ok(Some(now)) if now != *before => return Ok(Heard::Alive(now)),
            Ok(None) => return Ok(Heard::Left),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Heard::Left),
            // A server that does not answer for a moment.
            Ok(Some(_)) | Err(_) => {}
        }
        locked = locked.filter(|file| matches!(file.attempt(), Attempt::Busy));
    }
    Ok(Heard::Nothing)
}

/// Puts a file with our name in the place of a lock's whose holder is silent; none if another was faster. What the old holder may
/// still write goes into a file that has no name any more.
fn taken_over(path: &Path, before: &Holder, confirm: Duration) -> io::Result<Option<(FileLock, Holder)>> {
    let holder = Holder::this_process();
    // If this dies now, whoever has the folder next removes it.
    let beside = path.with_file_name(format!(".{LOCK}.{:x}.tmp", holder.id()));
    let mut file = FileLock::open(&beside)?;
    // Where that fails, there are no locks, and the name must do.
    let _locked = file.attempt();
    holder.write(file.file())?;
    let is_still = Holder::at(path)?.is_some_and(|now| now == *before);
    if !is_still {
        fs::remove_file(&beside)?;
        return Ok(None);
    }
    fs::rename(&beside, path)?;
    thread::sleep(confirm);
    Ok(Holder::at(path)?.is_some_and(|now| now.is(&holder)).then_some((file, holder)))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const SHORT: Patience = Patience {
        beat: Duration::from_millis(30),
        listen: Duration::from_millis(400),
        locked: Duration::from_secs(3),
        confirm: Duration::from_millis(150),
    };

    fn take(folder: &Path) -> Result<Lock> {
        Lock::take_with(folder, &SHORT, &mut |_| ())
    }

    /// Leaves a name in the file of a lock.
    fn leave(folder: &Path, holder: &Holder) {
        holder.write(&mut File::create(folder.join(LOCK)).unwrap()).unwrap();
    }

    fn is_taken_over(lock: &Lock) -> bool {
        lock.warning
            .as_ref()
            .is_some_and(|text| text.contains("process 12 on elsewhere") && text.contains("taken over"))
    }

    #[test]
    fn a_folder_is_for_one_and_nothing_is_left_of_a_run_that_came_to_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("runs/word");
        let lock = take(&folder).unwrap();
        let error = take(&folder).map(drop).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Disk);
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("ago"), "{text}");
        thread::sleep(3 * SHORT.beat);
        lock.check().unwrap();
        drop(lock);
        assert!(!folder.exists());
        fs::create_dir_all(&folder).unwrap();
        drop(take(&folder).unwrap());
        assert_eq!(fs::read(folder.join(LOCK)).unwrap(), b"");
        // One that was killed leaves its name.
        leave(&folder, &Holder::this_process());
        assert!(take(&folder).unwrap().warning.is_none());
    }

    #[test]
    fn a_run_of_another_machine_keeps_its_folder_while_it_is_heard_of() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        // Its lock is not seen here: only what it writes.
        let mut holder = Holder::elsewhere();
        leave(folder, &holder);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut file = OpenOptions::new().write(true).open(folder.join(LOCK)).unwrap();
                while !ended.load(Ordering::SeqCst) {
                    thread::sleep(SHORT.beat);
                    holder.beat(&mut file).unwrap();
                }
            });
            let mut said = Vec::new();
            let refused = Lock::take_with(folder, &SHORT, &mut |text| said.push(text.to_owned())).map(drop);
            ended.store(true, Ordering::SeqCst);
            assert!(refused.unwrap_err().to_string().contains("process 12 on elsewhere"));
            assert!(said[0].contains("elsewhere") && said[0].contains("listening"), "{said:?}");
        });
        // It is silent now, and its clock is far ahead.
        let lock = take(folder).unwrap();
        assert!(is_taken_over(&lock), "{:?}", lock.warning);
        assert!(Holder::at(&folder.join(LOCK)).unwrap().unwrap().is_here());
        let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, [LOCK]);
    }

    #[test]
    fn a_run_that_ends_while_it_is_listened_for_leaves_its_folder_free() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        leave(folder, &Holder::elsewhere());
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SHORT.listen / 4);
                fs::write(folder.join(LOCK), "").unwrap();
            });
            let begun = Instant::now();
            let lock = take(folder).unwrap();
            assert!(lock.warning.is_none() && begun.elapsed() < SHORT.listen);
        });
    }

    #[test]
    fn a_lock_that_outlives_its_machine_is_taken_over() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let path = folder.join(LOCK);
        leave(folder, &Holder::elsewhere());
        // A server keeps it.
        let kept = FileLock::open(&path).unwrap();
        assert!(matches!(kept.attempt(), Attempt::Locked));
        let begun = Instant::now();
        let lock = take(folder).unwrap();
        assert!(begun.elapsed() >= SHORT.locked && is_taken_over(&lock), "{:?}", lock.warning);
        assert!(!kept.is_at(&path));
        lock.check().unwrap();
        // Now it is locked as any other.
        assert!(matches!(take(folder), Err(Error::Held { .. })));
        drop(lock);
        // What the server forgets meanwhile is not waited for so long.
        leave(folder, &Holder::elsewhere());
        let kept = FileLock::open(&path).unwrap();
        assert!(matches!(kept.attempt(), Attempt::Locked));
        let begun = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SHORT.listen / 4);
                drop(kept);
            });
            assert!(is_taken_over(&take(folder).unwrap()) && begun.elapsed() < SHORT.locked);
        });
    }

    #[test]
    fn one_that_was_asleep_sees_that_its_folder_is_anothers_and_touches_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let path = folder.join(LOCK);
        let old = take(folder).unwrap();
        let before = Holder::at(&path).unwrap().unwrap();
        // As another machine does after it has heard nothing. While the old one is heard of, that comes to nothing.
        let begun = Instant::now();
        while Holder::at(&path).unwrap().unwrap() == before {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is heard of it");
            thread::sleep(SHORT.beat);
        }
        assert!(taken_over(&path, &before, SHORT.confirm).unwrap().is_none());
        old.check().unwrap();
        let other = Holder::elsewhere();
        fs::remove_file(&path).unwrap();
        old.check().unwrap();
        leave(folder, &other);
        let error = old.check().unwrap_err().to_string();
        assert!(error.contains("process 12 on elsewhere") && error.contains("taken it over"), "{error}");
        thread::sleep(5 * SHORT.beat);
        drop(old);
        assert_eq!(Holder::at(&path).unwrap().unwrap(), other);
        // Also where the other one has come and gone, and where machines have written into one file.
        for end in [true, false] {
            fs::write(&path, "").unwrap();
            let old = take(folder).unwrap();
            let mut file = OpenOptions::new().write(true).open(&path).unwrap();
            // Twice, since one time can fall between a look of the old one and what it writes then.
            for _ in 0..2 {
                if end {
                    file.set_len(0).unwrap();
                } else {
                    other.write(&mut file).unwrap();
                }
                thread::sleep(3 * SHORT.beat);
            }
            assert!(matches!(old.check(), Err(Error::Held { .. })), "{end}");
            drop(old);
            assert_eq!(Holder::at(&path).unwrap(), (!end).then(|| other.clone()));
        }
    }

    #[test]
    fn of_several_that_take_over_one_wins() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let path = &folder.join(LOCK);
        // Longer than this machine keeps a thread waiting.
        let confirm = Duration::from_millis(600);
        for _ in 0..3 {
            let before = &Holder::elsewhere();
            leave(folder, before);
            // Machines whose locks are not seen by the others.
            let won: Vec<_> = thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(|| taken_over(path, before, confirm))).collect();
                all.into_iter().filter_map(|one| one.join().unwrap().unwrap()).collect()
            });
            assert_eq!(won.len(), 1);
            assert!(Holder::at(path).unwrap().unwrap().is(&won[0].1));
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
        }
        // And of several processes of one machine.
        leave(folder, &Holder::elsewhere());
        let won: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| take(folder))).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter_map(Result::ok).collect()
        });
        assert_eq!(won.len(), 1);
        assert!(won[0].check().is_ok());
    }
}
