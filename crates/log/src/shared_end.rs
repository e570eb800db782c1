//! The end of the log as its writers share it, and the right to be the one that writes there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use spanferry_core::position::Bookmark;

use crate::error::LogError;

/// What is reached at a durable mark, so that it need not be counted again.
#[derive(Debug)]
pub(crate) struct End {
    /// The mark.
    pub(crate) complete_below: u64,
    /// What everything before it has reached.
    pub(crate) reached: Bookmark,
}

/// The last known end.
pub(crate) type SharedEnd = Arc<Mutex<End>>;

/// Locks the end; nothing can panic meanwhile.
pub(crate) fn lock_end(end: &SharedEnd) -> MutexGuard<'_, End> {
    end.lock()
        .expect("no thread panics while holding the end of the log")
}

/// The right to be the one writer; given back when dropped.
pub(crate) struct WriterClaim(Arc<AtomicBool>);

impl WriterClaim {
    /// Fails while another writer lives.
    pub(crate) fn take(writing: &Arc<AtomicBool>) -> Result<WriterClaim, LogError> {
        if writing.swap(true, Ordering::AcqRel) {
            return Err(LogError::SecondWriter);
        }
        Ok(WriterClaim(Arc::clone(writing)))
    }
}

impl Drop for WriterClaim {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
