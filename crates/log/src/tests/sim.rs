//! A simulated directory: what is not synced may be lost, kept or cut at a crash; syncs fail;
//! space ends.
//!
//! A failed sync behaves as on Linux: the pages count as clean afterwards, stay readable, and a
//! later successful sync does not bring them to the device.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::files::{Files, LogFile};

const SECTOR: usize = 64;

/// A directory, its files, and the faults to come.
#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    inodes: Vec<Inode>,
    capacity: Option<u64>,
    failing_syncs: u32,
    /// Whether they fail for want of room.
    syncs_full: bool,
    random: u64,
}

enum NameChange {
    Link(String, usize),
    Unlink(String),
}

#[derive(Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    dirty: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(length) => content.resize(*length, 0),
        Change::Write(at, bytes) => {
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
    }
}

impl World {
    /// A small generator (SplitMix64): a seed repeats everything.
    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below.max(1) as u64).unwrap()
    }

    /// Which of the unsynced changes of a file reach the device: a prefix, the last one cut, or
    /// any sectors.
    fn survivors(&mut self, dirty: Vec<Change>) -> Vec<Change> {
        if self.random(2) == 0 {
            let kept = self.random(dirty.len() + 1);
            let mut survivors: Vec<Change> = dirty.into_iter().take(kept).collect();
            if let Some(Change::Write(_, bytes)) = survivors.last_mut() {
                let kept = self.random(bytes.len() + 1);
                bytes.truncate(kept);
            }
            return survivors;
        }
        let mut survivors = Vec::new();
        for change in dirty {
            match change {
                Change::Write(at, bytes) => {
                    for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                        if self.random(2) == 0 {
                            survivors.push(Change::Write(at + index * SECTOR, sector.to_vec()));
                        }
                    }
                }
                Change::SetLen(length) => survivors.push(Change::SetLen(length)),
            }
        }
        survivors
    }

    fn crash(&mut self, seed: u64) {
        self.random = seed;
        for index in 0..self.inodes.len() {
            let dirty = std::mem::take(&mut self.inodes[index].dirty);
            let survivors = self.survivors(dirty);
            let inode = &mut self.inodes[index];
            for change in &survivors {
                apply(&mut inode.durable, change);
            }
            inode.current = inode.durable.clone();
        }
        let changes = std::mem::take(&mut self.name_changes);
        let kept = self.random(changes.len() + 1);
        for change in &changes[..kept] {
            apply_name(&mut self.durable_names, change);
        }
        self.names = self.durable_names.clone();
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].current.len() as u64)
            .sum()
    }
}

impl SimDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Files for a newly started process.
    pub(super) fn files(&self) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }

    /// The machine stops.
    pub(super) fn crash(&self, seed: u64) {
        self.world().crash(seed);
    }

    /// No more than this much in addition to what is there; `None` is no limit.
    pub(super) fn leave_room(&self, bytes: Option<u64>) {
        let mut world = self.world();
        world.capacity = bytes.map(|bytes| world.used() + bytes);
    }

    /// So many of the next syncs fail.
    pub(super) fn fail_syncs(&self, count: u32) {
        let mut world = self.world();
        (world.failing_syncs, world.syncs_full) = (count, false);
    }

    /// The next sync finds no room for what was written: the file system gives out room no earlier.
    pub(super) fn fill_sync(&self) {
        let mut world = self.world();
        (world.failing_syncs, world.syncs_full) = (1, true);
    }

    /// The content of a file, changed by a test.
    pub(super) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let index = world.names[name];
        let inode = &mut world.inodes[index];
        change(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.dirty.clear();
    }

    /// What a file holds.
    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[name]].current.clone()
    }

    /// Puts a durable file there.
    pub(super) fn insert(&self, name: &str, content: Vec<u8>) {
        let mut world = self.world();
        let index = world.inodes.len();
        world.inodes.push(Inode {
            durable: content.clone(),
            current: content,
            dirty: Vec::new(),
        });
        world.names.insert(name.to_owned(), index);
        world.durable_names.insert(name.to_owned(), index);
    }

    /// File names.
    pub(super) fn names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }
}

impl Files for SimDisk {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/sim").join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let mut world = self.world();
        let index = world.inodes.len();
        world.inodes.push(Inode::default());
        world.names.insert(name.to_owned(), index);
        world.name_changes.push(NameChange::Link(name.to_owned(), index));
        Ok(Box::new(SimFile {
            disk: self.clone(),
            index,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let index = *self.world().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            index,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        let index = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), index);
        // One change: a rename happens as a whole or not at all; the old name may stay for a
        // moment.
        world.name_changes.push(NameChange::Link(to.to_owned(), index));
        world.name_changes.push(NameChange::Unlink(from.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        world.name_changes.push(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut world = self.world();
        for change in std::mem::take(&mut world.name_changes) {
            apply_name(&mut world.durable_names, &change);
        }
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    index: usize,
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl LogFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.world();
        let rest = world.inodes[self.index]
            .current
            .get(index(offset)..)
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let room = world
            .capacity
            .map(|capacity| capacity.saturating_sub(world.used()));
        let inode = &mut world.inodes[self.index];
        let grows = (index(offset) + bytes.len()).saturating_sub(inode.current.len());
        let fits = room.is_none_or(|room| grows as u64 <= room);
        let written = if fits {
            bytes.len()
        } else {
            bytes.len() - grows + index(room.unwrap_or(0))
        };
        let change = Change::Write(index(offset), bytes[..written].to_vec());
        apply(&mut inode.current, &change);
        inode.dirty.push(change);
        if fits {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let fails = world.failing_syncs > 0;
        let mut dirty = std::mem::take(&mut world.inodes[self.index].dirty);
        if fails {
            world.failing_syncs -= 1;
            dirty = world.survivors(dirty);
        }
        for change in &dirty {
            apply(&mut world.inodes[self.index].durable, change);
        }
        if fails && world.syncs_full {
            Err(io::ErrorKind::StorageFull.into())
        } else if fails {
            Err(io::Error::other("the device failed"))
        } else {
            Ok(())
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let inode = &mut world.inodes[self.index];
        let change = Change::SetLen(index(bytes));
        apply(&mut inode.current, &change);
        inode.dirty.push(change);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().inodes[self.index].current.len() as u64)
    }
}
