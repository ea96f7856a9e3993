//! The states of a run that are kept: two generations, so that at every moment one of them is whole.
//!
//! One rule for a folder on a disk and for a browser's storage, which differ in how they write: a new state never takes
//! the place of the newest whole one; a run resumes from the newest whole one; and what is damaged is reported, never
//! taken for nothing.

#![allow(async_fn_in_trait, reason = "the engine runs in one thread: nobody needs these futures to be Send")]

use std::cell::Cell;
use std::cmp::Ordering;

use super::RunState;

/// How many states are kept: the newest, and the one before it.
pub const GENERATIONS: usize = 2;

/// The place to write next where places take turns: one that is not that of the newest whole state.
pub fn turn(newest: Option<usize>) -> usize {
    newest.map_or(0, |newest| (newest + 1) % GENERATIONS)
}

/// Puts what lies in places that take turns in order, newest first: each comes with the time at which it was written, its
/// place and its bytes. Clocks can be set back, so two whole states of one run are ordered by how far it was.
pub fn newest_first(found: Vec<(f64, usize, Vec<u8>)>) -> Vec<(usize, Vec<u8>)> {
    let mut found: Vec<_> = found.into_iter().map(|file| (RunState::parse(&file.2).ok(), file)).collect();
    found.sort_by(|(one, (one_time, ..)), (other, (other_time, ..))| {
        let by_progress = one.as_ref().zip(other.as_ref()).map_or(Ordering::Equal, |(one, other)| other.order(one));
        by_progress.then(other_time.total_cmp(one_time))
    });
    found.into_iter().map(|(_, (_, place, bytes))| (place, bytes)).collect()
}

/// Where the generations are.
pub trait Store {
    /// What can fail.
    type Problem;

    /// What people call a place, of [`GENERATIONS`].
    fn name(&self, place: usize) -> String;

    /// What is there, newest first: the place, and its bytes or why they cannot be read. Empty places are left out.
    async fn read(&self) -> Result<Vec<(usize, Result<Vec<u8>, String>)>, Self::Problem>;

    /// Writes a state and gives its place. What is in `keep` stays whole even if that fails, though it may end up in
    /// another place.
    async fn write(&self, state: &[u8], keep: Option<usize>) -> Result<usize, Self::Problem>;
}

/// The generations of a run's state.
pub struct Generations<S> {
    store: S,
    /// The place of the newest whole state, as far as that is known.
    newest: Cell<Option<usize>>,
}

/// What was found.
pub struct Saved {
    /// The newest whole state, if there is one.
    pub whole: Option<Whole>,
    /// What is newer and cannot be used; without a whole state, everything that is there.
    pub damaged: Vec<Damaged>,
}

/// A state that a run can resume from.
pub struct Whole {
    /// As it was read.
    pub state: RunState,
    /// As it was written.
    pub bytes: Vec<u8>,
    /// What people call its place.
    pub name: String,
}

/// A state that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// What people call its place.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl<S: Store> Generations<S> {
    /// Those in a store, of which nothing is known yet.
    pub fn new(store: S) -> Self {
        Self { store, newest: Cell::new(None) }
    }

    /// Where they are.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Finds the newest whole state; what is written from now on leaves it alone.
    ///
    /// # Errors
    /// The store's. A damaged state is not an error.
    pub async fn newest(&self) -> Result<Saved, S::Problem> {
        let mut damaged = Vec::new();
        for (place, bytes) in self.store.read().await? {
            let name = self.store.name(place);
            let read = bytes.and_then(|bytes| match RunState::parse(&bytes) {
                Ok(state) => Ok((state, bytes)),
                Err(reason) => Err(reason),
            });
            match read {
                Ok((state, bytes)) => {
                    self.newest.set(Some(place));
                    return Ok(Saved { whole: Some(Whole { state, bytes, name }), damaged });
                }
                Err(reason) => damaged.push(Damaged { name, reason }),
            }
        }
        self.newest.set(None);
        Ok(Saved { whole: None, damaged })
    }

    /// Writes a state, beside the newest whole one.
    ///
    /// # Errors
    /// The store's; the newest whole state is then what it was.
    pub async fn write(&self, state: &[u8]) -> Result<(), S::Problem> {
        let place = self.store.write(state, self.newest.get()).await?;
        self.newest.set(Some(place));
        Ok(())
    }

    /// Forgets where the newest is: the store has been emptied.
    pub fn forget(&self) {
        self.newest.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::state::tests::{rewound_to, state_at};
    use pollster::block_on;
    use std::cell::RefCell;

    /// When a slot was written, and what.
    type Slot = Option<(u32, Vec<u8>)>;

    /// Two slots that are written in turn, as in a browser; writing can be cut off.
    #[derive(Default)]
    struct Slots {
        slots: RefCell<[Slot; GENERATIONS]>,
        time: RefCell<u32>,
        cut: RefCell<bool>,
    }

    impl Store for Slots {
        type Problem = String;

        fn name(&self, place: usize) -> String {
            format!("slot {place}")
        }

        async fn read(&self) -> Result<Vec<(usize, Result<Vec<u8>, String>)>, String> {
            let slots = self.slots.borrow();
            let found = (0..GENERATIONS)
                .filter_map(|place| slots[place].clone().map(|(time, bytes)| (f64::from(time), place, bytes)))
                .collect();
            Ok(newest_first(found).into_iter().map(|(place, bytes)| (place, Ok(bytes))).collect())
        }

        async fn write(&self, state: &[u8], keep: Option<usize>) -> Result<usize, String> {
            let place = turn(keep);
            *self.time.borrow_mut() += 1;
            let cut = *self.cut.borrow();
            let bytes = if cut { state[..state.len() / 2].to_vec() } else { state.to_vec() };
            self.slots.borrow_mut()[place] = Some((*self.time.borrow(), bytes));
            if cut { Err("cut off".to_owned()) } else { Ok(place) }
        }
    }

    fn step(saved: &Saved) -> (Option<u32>, usize) {
        (saved.whole.as_ref().map(|whole| whole.state.step()), saved.damaged.len())
    }

    #[test]
    fn the_newest_whole_state_survives_every_write_that_is_cut_off() {
        let run = Generations::new(Slots::default());
        assert_eq!(step(&block_on(run.newest()).unwrap()), (None, 0));
        for made in [25, 50] {
            block_on(run.write(&state_at(made))).unwrap();
        }
        *run.store.cut.borrow_mut() = true;
        for _ in 0..3 {
            assert!(block_on(run.write(&state_at(75))).is_err());
        }
        // The next visit knows nothing but what is in the store.
        let run = Generations::new(run.store);
        assert_eq!(step(&block_on(run.newest()).unwrap()), (Some(50), 1));
        *run.store.cut.borrow_mut() = false;
        block_on(run.write(&state_at(75))).unwrap();
        assert_eq!(step(&block_on(run.newest()).unwrap()), (Some(75), 0));
        // After a rewind the newest is not the one with the most steps.
        block_on(run.write(&rewound_to(40, 1))).unwrap();
        assert_eq!(step(&block_on(run.newest()).unwrap()), (Some(40), 0));
        // The clock is set back.
        *run.store.time.borrow_mut() = 0;
        block_on(run.write(&rewound_to(65, 1))).unwrap();
        assert_eq!(step(&block_on(run.newest()).unwrap()), (Some(65), 0));
        for slot in run.store.slots.borrow_mut().iter_mut().flatten() {
            slot.1.truncate(9);
        }
        assert_eq!(step(&block_on(run.newest()).unwrap()), (None, 2), "damaged is not nothing");
    }
}
