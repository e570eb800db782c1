//! A `CommitRequest` read in place: no row is copied.
//!
//! Facts: google/spanner/v1/spanner.proto and mutation.proto (field numbers).

use spanferry_core::wire::list_value::{take_delimited, take_varint};

use crate::refusal::Refusal;

/// A field's number and content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Fields of a message one by one.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Refusal>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(Refusal::malformed))
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let (tag, rest) = take_varint(self.0).ok()?;
        let (field, rest) = match tag & 7 {
            0 => take_varint(rest)
                .ok()
                .map(|(value, rest)| (Field::Varint(value), rest))?,
            1 => (Field::Fixed, rest.get(8..)?),
            2 => take_delimited(rest)
                .ok()
                .map(|(bytes, rest)| (Field::Bytes(bytes), rest))?,
            5 => (Field::Fixed, rest.get(4..)?),
            _ => return None,
        };
        self.0 = rest;
        Some((tag >> 3, field))
    }
}

/// What a write does (the field numbers of `Mutation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Insert,
    Update,
    Upsert,
    Replace,
}

/// One mutation.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    Write {
        kind: WriteKind,
        table: &'a str,
        columns: Vec<&'a str>,
        body: &'a [u8],
    },
    Delete {
        table: &'a str,
        keys: &'a [u8],
    },
}

/// The transaction of a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CommitIn<'a> {
    Id(&'a [u8]),
    SingleUse,
}

/// The head of a commit; its mutations are the fields 4 of `message`.
#[derive(Debug)]
pub(crate) struct CommitHead<'a> {
    pub(crate) session: &'a str,
    pub(crate) transaction: Option<CommitIn<'a>>,
    /// Token and its sequence number.
    pub(crate) token: Option<(&'a [u8], u64)>,
    pub(crate) stats: bool,
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::malformed())
}

/// Reads the head of a commit.
pub(crate) fn commit_head(message: &[u8]) -> Result<CommitHead<'_>, Refusal> {
    let mut head = CommitHead {
        session: "",
        transaction: None,
        token: None,
        stats: false,
    };
    for field in Fields(message) {
        match field? {
            (1, Field::Bytes(bytes)) => head.session = text(bytes)?,
            (2, Field::Bytes(bytes)) => head.transaction = Some(CommitIn::Id(bytes)),
            (3, Field::Bytes(_)) => head.transaction = Some(CommitIn::SingleUse),
            (5, Field::Varint(value)) => head.stats = value != 0,
            (9, Field::Bytes(bytes)) => head.token = Some(token(bytes)?),
            _ => {}
        }
    }
    Ok(head)
}

fn token(message: &[u8]) -> Result<(&[u8], u64), Refusal> {
    let (mut token, mut sequence): (&[u8], u64) = (&[], 0);
    for field in Fields(message) {
        match field? {
            (1, Field::Bytes(bytes)) => token = bytes,
            (2, Field::Varint(value)) => sequence = value,
            _ => {}
        }
    }
    Ok((token, sequence))
}

/// The mutations of a commit, in order.
pub(crate) fn changes(message: &[u8]) -> impl Iterator<Item = Result<Change<'_>, Refusal>> {
    Fields(message).filter_map(|field| match field {
        Ok((4, Field::Bytes(mutation))) => Some(change(mutation)),
        Ok(_) => None,
        Err(refusal) => Some(Err(refusal)),
    })
}

fn change(mutation: &[u8]) -> Result<Change<'_>, Refusal> {
    let Some(Ok((number, Field::Bytes(body)))) = Fields(mutation).next() else {
        return Err(Refusal::malformed());
    };
    let kind = match number {
        1 => WriteKind::Insert,
        2 => WriteKind::Update,
        3 => WriteKind::Upsert,
        4 => WriteKind::Replace,
        5 => return delete(body),
        _ => return Err(Refusal::malformed()),
    };
    let (mut table, mut columns) = ("", Vec::new());
    for field in Fields(body) {
        match field? {
            (1, Field::Bytes(bytes)) => table = text(bytes)?,
            (2, Field::Bytes(bytes)) => columns.push(text(bytes)?),
            // Our writers put the head first: the rows need not be walked here.
            (3, _) if !table.is_empty() && !columns.is_empty() => break,
            _ => {}
        }
    }
    Ok(Change::Write {
        kind,
        table,
        columns,
        body,
    })
}

fn delete(body: &[u8]) -> Result<Change<'_>, Refusal> {
    let (mut table, mut keys): (&str, &[u8]) = ("", &[]);
    for field in Fields(body) {
        match field? {
            (1, Field::Bytes(bytes)) => table = text(bytes)?,
            (2, Field::Bytes(bytes)) => keys = bytes,
            _ => {}
        }
    }
    Ok(Change::Delete { table, keys })
}

/// The rows (`ListValue` payloads) of a write's body.
pub(crate) fn rows(body: &[u8]) -> impl Iterator<Item = Result<&[u8], Refusal>> {
    Fields(body).filter_map(|field| match field {
        Ok((3, Field::Bytes(row))) => Some(Ok(row)),
        Ok(_) => None,
        Err(refusal) => Some(Err(refusal)),
    })
}

/// The cells of a row, each an encoded `Value`.
pub(crate) fn cells(row: &[u8]) -> impl Iterator<Item = Result<&[u8], Refusal>> {
    Fields(row).map(|field| match field? {
        (1, Field::Bytes(cell)) => Ok(cell),
        _ => Err(Refusal::malformed()),
    })
}
