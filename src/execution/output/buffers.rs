//! Buffers for output, used again while they are warm: memory that comes from the system anew for every read costs
//! more than the read (a page fault for each 4 KiB).

use std::sync::{Mutex, PoisonError};

/// How much is read at once: the size of a pipe, so that one read empties it.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// Room for a read, and for the line that the read before it left unfinished, if that is not long.
const CAPACITY: usize = READ_SIZE + 4 * 1024;

/// How many unused buffers are kept: 2.1 MiB.
const MOST: usize = 32;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer with room for a read.
pub(crate) fn take() -> Vec<u8> {
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    spare.unwrap_or_else(|| Vec::with_capacity(CAPACITY))
}

/// Keeps a buffer for the next who needs one; one that has grown, or is too small, is freed.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if !(CAPACITY..2 * CAPACITY).contains(&buffer.capacity()) {
        return;
    }
    buffer.clear();
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if spare.len() < MOST {
        spare.push(buffer);
    }
}
