//! Stops of groups that a window brings: recorded in the window's own commit, then made known.

use spanferry_core::apply::window::{Stop, Window};
use spanferry_core::port::target::ControlChange;

use crate::progress::Progress;
use crate::registry::{Registry, Transition};

/// The rows that record a window's stops, with the right to record them; nothing if it has none.
pub(super) async fn stopping<'a>(
    registry: &'a Registry,
    window: &Window,
) -> Option<(Transition<'a>, Vec<ControlChange>)> {
    if window.stops.is_empty() {
        return None;
    }
    let transition = registry.transition().await;
    let rows = window.stops.iter().flat_map(|stop| {
        let mut finding = stop.finding.clone();
        finding.text = format!("{} (transaction {})", finding.text, stop.transaction);
        transition.stop_rows(stop.group, &finding)
    });
    let rows = rows.collect();
    Some((transition, rows))
}

/// Makes stops known that have become durable.
pub(super) fn settle(
    stops: &[Stop],
    stopping: Option<(Transition<'_>, Vec<ControlChange>)>,
    progress: &Progress,
) {
    let Some((transition, rows)) = stopping else {
        return;
    };
    transition.adopt(&rows);
    for stop in stops {
        tracing::error!(code = %stop.finding.code, subject = %stop.finding.subject, transaction = stop.transaction,
                "a group stops");
        progress.report(stop.finding.clone());
    }
}
