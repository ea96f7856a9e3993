//! A value that a thread has for a while.

use std::cell::Cell;
use std::thread::LocalKey;

/// Gives the cell its former value back, in a panic, too: some are caught.
struct Former<T: Copy + 'static> {
    cell: &'static LocalKey<Cell<T>>,
    value: T,
}

impl<T: Copy> Drop for Former<T> {
    fn drop(&mut self) {
        self.cell.set(self.value);
    }
}

/// Runs `work` with another value in the thread's cell.
pub fn with_value<T: Copy, R>(cell: &'static LocalKey<Cell<T>>, value: T, work: impl FnOnce() -> R) -> R {
    let _former = Former { cell, value: cell.replace(value) };
    work()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(1) };
    }

    #[test]
    fn the_former_value_comes_back_in_a_panic_too() {
        let within = || with_value(&NUMBER, 2, || with_value(&NUMBER, 3, || NUMBER.get()) + 10 * NUMBER.get());
        assert_eq!((within(), NUMBER.get()), (23, 1));
        assert!(catch_unwind(|| with_value(&NUMBER, 2, || panic!("the driver fell over"))).is_err());
        assert_eq!(NUMBER.get(), 1);
    }
}
