//! Random operations on few keys, with a model that knows the state they must lead to.
//!
//! The few keys make every transaction meet the traces of earlier ones: keys that come back after a
//! delete, unique values that change hands, children that move between parents. The whole is a pure
//! function of its seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use crate::random::Random;

/// The tables, for MySQL and MariaDB alike; they must not exist yet.
pub const SCHEMA: &str = "
CREATE TABLE parent (id BIGINT NOT NULL PRIMARY KEY, slot INT NULL, text VARCHAR(60) NOT NULL, amount DECIMAL(12,3) NOT NULL,
  UNIQUE KEY slot (slot)) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE child (number INT NOT NULL, parent_id BIGINT NOT NULL, text VARCHAR(60) NOT NULL, PRIMARY KEY (parent_id, number),
  CONSTRAINT child_parent FOREIGN KEY (parent_id) REFERENCES parent (id)) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE label (code VARBINARY(16) NOT NULL PRIMARY KEY, text TEXT NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4";

/// Most operations of one transaction.
const TRANSACTION_OPERATIONS_MAX: u64 = 8;
/// Percent of the transactions that are rolled back whole.
const ROLL_BACK_PERCENT: u64 = 8;
/// Percent of the operations that are undone by a savepoint.
const SAVEPOINT_PERCENT: u64 = 5;
/// Numbers of children below one parent.
const CHILDREN: u64 = 3;

/// A row of `parent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Unique unless none.
    pub slot: Option<u64>,
    /// Any text.
    pub text: String,
    /// Thousandths.
    pub amount: u64,
}

/// The rows of all tables by their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// `parent` by `id`.
    pub parents: BTreeMap<u64, Parent>,
    /// `child` by `parent_id` and `number`; the value is its text.
    pub children: BTreeMap<(u64, u64), String>,
    /// `label` by `code`; the value is its text.
    pub labels: BTreeMap<String, String>,
}

impl State {
    /// Adds the rows of a state with other keys.
    pub fn extend(&mut self, other: State) {
        self.parents.extend(other.parents);
        self.children.extend(other.children);
        self.labels.extend(other.labels);
    }
}

/// A stream of transactions together with the state after the last of them.
#[derive(Debug, Clone)]
pub struct Scenario {
    random: Random,
    keys: RangeInclusive<u64>,
    state: State,
    operations: u64,
    /// The state before the transaction that was left open, if one was.
    before_open: Option<State>,
}

impl Scenario {
    /// A stream over the keys from 1 to `keys` of each table, from empty tables on. Equal seeds
    /// give equal streams.
    ///
    /// # Panics
    /// When `keys` is 0.
    pub fn new(seed: u64, keys: u64) -> Self {
        Self::within(seed, 1..=keys)
    }

    /// The same over these keys (and slots), so that several can share the tables.
    ///
    /// # Panics
    /// When there is no key.
    pub fn within(seed: u64, keys: RangeInclusive<u64>) -> Self {
        assert!(!keys.is_empty(), "a scenario needs a key");
        Self {
            random: Random::new(seed),
            keys,
            state: State::default(),
            operations: 0,
            before_open: None,
        }
    }

    /// The rows that the database must hold once every transaction given out so far has run.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Operations given out so far, undone ones too.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The statements of the next transaction, with its begin and end. None of them may be refused.
    pub fn next_transaction(&mut self) -> Vec<String> {
        let operations = self.random.between(1, TRANSACTION_OPERATIONS_MAX);
        let mut statements = self.begin_transaction(operations);
        statements.push(self.end_transaction());
        statements
    }

    /// The statements of a transaction of so many operations, without its end, which is for
    /// [`Scenario::end_transaction`].
    ///
    /// # Panics
    /// When the one before has not ended.
    pub fn begin_transaction(&mut self, operations: u64) -> Vec<String> {
        assert!(self.before_open.is_none(), "one transaction at a time");
        self.before_open = Some(self.state.clone());
        let mut statements = vec!["START TRANSACTION".to_owned()];
        for _ in 0..operations {
            if self.random.chance(SAVEPOINT_PERCENT) {
                let kept = self.state.clone();
                statements.push("SAVEPOINT here".into());
                self.operation(&mut statements);
                statements.push("ROLLBACK TO SAVEPOINT here".into());
                self.state = kept;
            } else {
                self.operation(&mut statements);
            }
        }
        statements
    }

    /// The statement that ends the open transaction, one way or the other.
    ///
    /// # Panics
    /// When none is open.
    pub fn end_transaction(&mut self) -> String {
        let before = self.before_open.take().expect("a transaction was begun");
        if self.random.chance(ROLL_BACK_PERCENT) {
            self.state = before;
            "ROLLBACK".to_owned()
        } else {
            "COMMIT".to_owned()
        }
    }

    /// Runs transactions on `connection` until at least `operations` more were given out. Stops at
    /// the first refusal, after which state and database no longer agree.
    pub async fn run(&mut self, connection: &mut Conn, operations: u64) -> Result<(), Error> {
        let end = self.operations + operations;
        while self.operations < end {
            for statement in self.next_transaction() {
                connection.query_drop(statement).await?;
            }
        }
        Ok(())
    }

    fn operation(&mut self, out: &mut Vec<String>) {
        self.operations += 1;
        let key = self.key();
        match self.random.below(10) {
            0..=2 => self.put_parent(key, out),
            3 => self.rename_parent(key, out),
            4 => self.swap_slots(key, out),
            5 => self.delete_parent(key, out),
            6 | 7 => self.put_child(key, out),
            8 => self.move_child(key, out),
            _ => self.change_label(key, out),
        }
    }

    /// Inserts or updates; a slot that another parent holds is taken from it first.
    fn put_parent(&mut self, id: u64, out: &mut Vec<String>) {
        let slot = self.random.chance(80).then(|| self.key());
        let owner = self
            .state
            .parents
            .iter()
            .find(|(_, parent)| slot.is_some() && parent.slot == slot);
        if let Some(owner) = owner.map(|(owner, _)| *owner).filter(|owner| *owner != id) {
            self.set_slot(owner, None, out);
        }
        let (text, amount) = (self.text(), self.random.below(1_000_000));
        let (slot_text, amount_text) = (literal(slot), format!("{}.{:03}", amount / 1000, amount % 1000));
        out.push(if self.state.parents.contains_key(&id) {
            format!("UPDATE parent SET slot = {slot_text}, text = '{text}', amount = {amount_text} WHERE id = {id}")
        } else {
            format!("INSERT INTO parent VALUES ({id}, {slot_text}, '{text}', {amount_text})")
        });
        self.state.parents.insert(id, Parent { slot, text, amount });
    }

    /// The primary key changes; possible only for a parent without children.
    fn rename_parent(&mut self, id: u64, out: &mut Vec<String>) {
        let new = self.key();
        if self.state.parents.contains_key(&new) || self.children_of(id).next().is_some() {
            return;
        }
        if let Some(parent) = self.state.parents.remove(&id) {
            out.push(format!("UPDATE parent SET id = {new} WHERE id = {id}"));
            self.state.parents.insert(new, parent);
        }
    }

    fn swap_slots(&mut self, id: u64, out: &mut Vec<String>) {
        let Some(first) = self.state.parents.get(&id).map(|parent| parent.slot) else {
            return;
        };
        let Some((other, second)) = self
            .state
            .parents
            .range(id + 1..)
            .next()
            .map(|(other, parent)| (*other, parent.slot))
        else {
            return;
        };
        self.set_slot(id, None, out);
        self.set_slot(other, first, out);
        self.set_slot(id, second, out);
    }

    fn set_slot(&mut self, id: u64, slot: Option<u64>, out: &mut Vec<String>) {
        out.push(format!(
            "UPDATE parent SET slot = {} WHERE id = {id}",
            literal(slot)
        ));
        self.state
            .parents
            .get_mut(&id)
            .expect("the caller found this parent")
            .slot = slot;
    }

    /// Children first.
    fn delete_parent(&mut self, id: u64, out: &mut Vec<String>) {
        if self.state.parents.remove(&id).is_some() {
            self.state.children.retain(|(parent, _), _| *parent != id);
            out.push(format!("DELETE FROM child WHERE parent_id = {id}"));
            out.push(format!("DELETE FROM parent WHERE id = {id}"));
        }
    }

    /// Inserts or updates a child, with its parent before it if there is none.
    fn put_child(&mut self, id: u64, out: &mut Vec<String>) {
        if !self.state.parents.contains_key(&id) {
            self.put_parent(id, out);
        }
        let (number, text) = (self.random.between(1, CHILDREN), self.text());
        out.push(if self.state.children.contains_key(&(id, number)) {
            format!("UPDATE child SET text = '{text}' WHERE parent_id = {id} AND number = {number}")
        } else {
            format!("INSERT INTO child VALUES ({number}, {id}, '{text}')")
        });
        self.state.children.insert((id, number), text);
    }

    /// A part of a composite key that is also a reference changes.
    fn move_child(&mut self, id: u64, out: &mut Vec<String>) {
        let Some(number) = self.children_of(id).next() else {
            return;
        };
        let Some(new) = self.state.parents.range(id + 1..).next().map(|(new, _)| *new) else {
            return;
        };
        if self.state.children.contains_key(&(new, number)) {
            return;
        }
        let text = self
            .state
            .children
            .remove(&(id, number))
            .expect("the child was just found");
        out.push(format!(
            "UPDATE child SET parent_id = {new} WHERE parent_id = {id} AND number = {number}"
        ));
        self.state.children.insert((new, number), text);
    }

    /// A binary key: inserted, renamed to its other spelling, or deleted.
    fn change_label(&mut self, key: u64, out: &mut Vec<String>) {
        let (code, other) = (format!("k{key}"), format!("K{key}"));
        let (code, other) = if self.state.labels.contains_key(&other) {
            (other, code)
        } else {
            (code, other)
        };
        let Some(text) = self.state.labels.remove(&code) else {
            let text = self.text();
            out.push(format!("INSERT INTO label VALUES ('{code}', '{text}')"));
            self.state.labels.insert(code, text);
            return;
        };
        if self.random.chance(40) {
            out.push(format!("DELETE FROM label WHERE code = '{code}'"));
        } else {
            out.push(format!("UPDATE label SET code = '{other}' WHERE code = '{code}'"));
            self.state.labels.insert(other, text);
        }
    }

    fn children_of(&self, id: u64) -> impl Iterator<Item = u64> + '_ {
        self.state
            .children
            .range((id, 0)..=(id, u64::MAX))
            .map(|((_, number), _)| *number)
    }

    fn key(&mut self) -> u64 {
        self.random.between(*self.keys.start(), *self.keys.end())
    }

    fn text(&mut self) -> String {
        let mut text = (*self.random.pick(&["plain", "Grüße", "日本", "🍐"])).to_owned();
        write!(text, " {}", self.random.below(1000)).expect("writing to a string does not fail");
        text
    }
}

/// Reads the tables back in the form of the model, from the connection's default schema.
pub async fn read_state(connection: &mut Conn) -> Result<State, Error> {
    let parents: Vec<(u64, Option<u64>, String, u64)> = connection
        .query("SELECT id, slot, text, CAST(amount * 1000 AS UNSIGNED) FROM parent")
        .await?;
    let children: Vec<(u64, u64, String)> = connection
        .query("SELECT parent_id, number, text FROM child")
        .await?;
    let labels: Vec<(String, String)> = connection.query("SELECT code, text FROM label").await?;
    Ok(State {
        parents: parents
            .into_iter()
            .map(|(id, slot, text, amount)| (id, Parent { slot, text, amount }))
            .collect(),
        children: children
            .into_iter()
            .map(|(parent, number, text)| ((parent, number), text))
            .collect(),
        labels: labels.into_iter().collect(),
    })
}

fn literal(number: Option<u64>) -> String {
    number.map_or_else(|| "NULL".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::Scenario;

    #[test]
    fn a_seed_replays_and_every_table_fills() {
        let (mut left, mut right) = (Scenario::new(4, 100), Scenario::new(4, 100));
        while left.operations() < 2000 {
            assert_eq!(left.next_transaction(), right.next_transaction());
        }
        assert_eq!(left.state(), right.state());
        let state = left.state();
        assert!(!state.parents.is_empty() && !state.children.is_empty() && !state.labels.is_empty());
    }
}
