//! One fenced commit as the mutations of one transaction.

use spanferry_core::port::target::{FencedCommit, MutationKind, Rejection};

use crate::commit::{COMMIT_BYTES_MAX, Mutations, WriteKind};
use crate::control;

/// Room for a commit's control mutations beside its data.
const CONTROL_BYTES: usize = 64 << 10;

/// The fence's step, the data, the control rows; refused if it is above what one commit may hold.
pub(super) fn assemble(commit: &FencedCommit, migration: &str) -> Result<Mutations, Rejection> {
    let bytes: usize = commit.data.iter().map(|data| data.rows.byte_len()).sum();
    if bytes > COMMIT_BYTES_MAX {
        return Err(too_large(bytes));
    }
    let mut mutations = Mutations::with_capacity(bytes + CONTROL_BYTES);
    control::write_fence(
        &mut mutations,
        migration,
        commit.lane,
        commit.previous,
        &commit.next,
    );
    for data in &commit.data {
        let table = &data.table.target;
        match data.kind {
            MutationKind::Delete => mutations.delete(&table.name, &data.rows),
            MutationKind::Upsert => {
                mutations.write(
                    WriteKind::Upsert,
                    &table.name,
                    data.table.column_names(),
                    &data.rows,
                );
            }
            MutationKind::Insert => {
                mutations.write(
                    WriteKind::Insert,
                    &table.name,
                    data.table.column_names(),
                    &data.rows,
                );
            }
            MutationKind::Update(columns) => {
                let names = data.table.column_names().enumerate();
                let written = names.filter_map(|(column, name)| columns.contains(column).then_some(name));
                mutations.write(WriteKind::Update, &table.name, written, &data.rows);
            }
        }
    }
    for change in &commit.control {
        control::write_change(&mut mutations, change);
    }
    let bytes = mutations.byte_len();
    if bytes > COMMIT_BYTES_MAX {
        Err(too_large(bytes))
    } else {
        Ok(mutations)
    }
}

fn too_large(bytes: usize) -> Rejection {
    let message = format!("a commit of {bytes} bytes is above Spanner's limit of {COMMIT_BYTES_MAX}");
    Rejection {
        status: "INVALID_ARGUMENT".to_owned(),
        message,
        named: Vec::new(),
        too_large: true,
        of_value: false,
        transient: false,
    }
}
