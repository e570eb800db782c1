//! Commits that are to be carried out after further ones.

use std::sync::Mutex;

use bytes::Bytes;
use tonic::metadata::MetadataMap;

/// Most that wait; further ones are carried out never, as a network may lose them.
const WAITING_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct LateCommit {
    after: u64,
    pub(crate) metadata: MetadataMap,
    pub(crate) message: Bytes,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Vec<LateCommit>>,
}

impl Queue {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<LateCommit>> {
        self.waiting.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn push(&self, after: u64, metadata: MetadataMap, message: Bytes) {
        let mut waiting = self.waiting();
        if waiting.len() < WAITING_MAX {
            waiting.push(LateCommit {
                after: after.max(1),
                metadata,
                message,
            });
        }
    }

    /// Those whose time has come, now that another commit is done.
    pub(crate) fn due(&self) -> Vec<LateCommit> {
        let mut waiting = self.waiting();
        waiting.iter_mut().for_each(|commit| commit.after -= 1);
        waiting.extract_if(.., |commit| commit.after == 0).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting().len()
    }
}
