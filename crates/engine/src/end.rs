//! The end of a migration: the source need not keep its history any more, and the control tables
//! are dropped.

use spanferry_core::port::source::ChangeSource;
use spanferry_core::port::target::ControlStore;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;

/// Ends what the control tables describe; false if there were none. `source` is the migration's, if
/// it is known.
///
/// The source comes first: as long as the control tables are there, another call finds the
/// migration and releases it again.
pub async fn end<S: ChangeSource, T: ControlStore>(source: Option<&S>, target: &T) -> Result<bool, Failure> {
    let control = match target.read_control().await {
        // Another release has written them, and knows what it has reserved.
        Err(failure) if failure.code == code::CONTROL_FORMAT => None,
        control => control?,
    };
    // Without a stream, no history was reserved.
    let streams = control.filter(|control| control.migration.stream.is_some());
    if let (Some(source), Some(control)) = (source, streams) {
        source.release(&control.migration.id).await?;
    }
    target.drop_control().await
}
