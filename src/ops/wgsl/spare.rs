//! Room for small results, used again without asking the runtime's memory pool.
//!
//! The pool walks through all values of a page for each one that is made, twice: with hundreds of small values alive, as in a
//! training step, that takes longer than the rest of a launch. Steps make values of the same few lengths again and again,
//! so small ones keep their places: one that nobody holds any more is given to the next value of its length. Everything here is a
//! thread's own, as the queue in the runtime is: what used a place before comes before what uses it next.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{Ordering, fence};

use cubecl::client::Client;
use cubecl::server::Handle;

use crate::base::with_value::with_value;

/// Bytes of the longest value that keeps its place. Longer ones are few.
const MOST: usize = 128 << 10;
/// Bytes of all places that are kept.
const ALL: usize = 8 << 20;
/// Places of the right length that are looked at. The one that was given out longest ago comes first, so that in a step like the
/// one before the first will do.
const LOOKED_AT: usize = 4;

/// The places that are kept.
#[derive(Default)]
struct Spare {
    /// By length.
    places: HashMap<usize, VecDeque<Handle>>,
    bytes: usize,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
    /// Whether results are [spoiled](with_spoiled_results).
    static SPOILED: Cell<bool> = const { Cell::new(false) };
}

impl Spare {
    fn room(&mut self, client: &Client, bytes: usize) -> Handle {
        let places = self.places.entry(bytes).or_default();
        for _ in 0..places.len().min(LOOKED_AT) {
            places.rotate_left(1);
            if let Some(place) = places.back().filter(|place| is_spare(place, client)) {
                return place.clone();
            }
        }
        if self.bytes + bytes > ALL {
            return client.empty(bytes);
        }
        // Not in a page, where it would be looked at for every value that is not kept.
        let place = client.memory_persistent_allocation(bytes, |bytes| client.empty(bytes));
        self.bytes += bytes;
        places.push_back(place.clone());
        place
    }
}

/// Whether nobody but the pool and the list holds a place on this device, no launch that waits for its turn either. One that the
/// pool did not find stays unused.
fn is_spare(place: &Handle, client: &Client) -> bool {
    let unheld = place.service == client.service_id() && place.can_mut();
    // Who dropped a handle in another thread may have bound it before: what that thread did must be seen in its order.
    fence(Ordering::Acquire);
    unheld && !place.memory.is_bound() && place.memory.descriptor().is_allocated()
}

/// Room for so many bytes, with anything in it.
pub(super) fn room(client: &Client, bytes: usize) -> Handle {
    if SPOILED.get() && bytes > 0 {
        return client.create_from_slice(&vec![u8::MAX; bytes]);
    }
    if bytes == 0 || bytes > MOST {
        return client.empty(bytes);
    }
    SPARE.with_borrow_mut(|spare| spare.room(client, bytes))
}

/// Runs `work` with values that are no numbers in the room of every result, so that one that a kernel leaves out, or reads before it
/// writes it, is seen: whatever was in that room before may be left in it.
pub fn with_spoiled_results<R>(work: impl FnOnce() -> R) -> R {
    with_value(&SPOILED, true, work)
}

/// Gives all places back to the pool.
pub(in crate::ops) fn give_back() {
    SPARE.take();
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::gpu::noop;
    use crate::ops::wgsl::primitive;

    #[test]
    fn a_place_is_given_out_again_once_nobody_holds_it() {
        let device = noop::start().unwrap().device;
        let client = primitive(&Tensor::<1>::zeros([1], &device)).unwrap().client;
        give_back();
        let id = |place: &Handle| place.memory.clone().binding().id();
        let (held, first) = (room(&client, 4096), room(&client, 4096));
        assert_ne!(id(&held), id(&first));
        // Until the pool has found it, nobody knows whether there is one.
        client.flush().unwrap();
        let was = id(&first);
        let waiting = first.binding();
        let second = room(&client, 4096);
        assert_ne!(id(&second), was, "a launch that waits for its turn reads it");
        drop(waiting);
        assert_eq!(id(&room(&client, 4096)), was);
        assert_ne!(id(&room(&client, 2048)), was, "it is of another length");
        let long = room(&client, MOST + 256);
        SPARE.with_borrow(|spare| {
            assert_eq!(spare.places.values().map(VecDeque::len).sum::<usize>(), 4);
            assert_eq!(spare.bytes, 3 * 4096 + 2048, "{} bytes are not kept", long.size());
        });
        give_back();
        assert_ne!(id(&room(&client, 4096)), was);
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let device = noop::start().unwrap().device;
        let client = primitive(&Tensor::<1>::zeros([1], &device)).unwrap().client;
        give_back();
        let _held: Vec<Handle> = (0..ALL / MOST + 3).map(|_| room(&client, MOST)).collect();
        SPARE.with_borrow(|spare| assert_eq!(spare.bytes, ALL));
    }
}
