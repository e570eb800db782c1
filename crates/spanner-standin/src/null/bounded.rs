//! A map of bounded size: names of sessions, transactions and operations.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Sessions, transactions and operations that are kept; the oldest go first.
const KEPT_MAX: usize = 10_000;

/// A map that forgets its oldest entries.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    pub(super) entries: HashMap<Bytes, T>,
    order: VecDeque<Bytes>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Bounded {
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Bounded<T> {
    /// Adds an entry; the oldest one makes room.
    pub(super) fn insert(&mut self, name: Bytes, entry: T) {
        if self.order.len() == KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(name.clone());
        self.entries.insert(name, entry);
    }
}
