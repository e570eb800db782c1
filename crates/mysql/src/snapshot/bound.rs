//! The upper bound of a lock-free MySQL snapshot: a position that no session can have passed.
//!
//! `gtid_executed` alone is none: a commit makes its rows visible first and adds its GTID afterwards, by a moment, or by
//! seconds where the server waits for a replica in between. Until then the GTID is in `gtid_owned`; it moves from there to
//! `gtid_executed` in one step. So:
//!
//! 1. Every transaction that a session sees had its GTID before the session opened.
//! 2. Read after the last session has opened, in this order, `gtid_owned` or `gtid_executed` therefore holds it.
//! 3. The bound is `gtid_executed` once it holds all that was owned: then nothing is in it that never happens. What is given
//!    up (a rolled-back transaction) leaves `gtid_owned` without being executed and is not waited for.
//! 4. What is still owned at the end of patience (a replica that applies a huge transaction) is added to the bound: the
//!    table then becomes exact when that transaction has been applied.

use std::time::Duration;

use spanferry_core::position::{GtidSet, PositionError};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::error::MysqlError;

/// How long commits that are under way are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often they are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The bound, to be asked for after the last session has opened.
pub(super) async fn upper_bound(
    control: &mut Connection,
) -> Result<Result<GtidSet, PositionError>, MysqlError> {
    let since = Instant::now();
    let mut first = None;
    loop {
        let (owned, executed) = match look(control).await? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let awaited = first.get_or_insert_with(|| owned.clone());
        let settled = awaited.count_beyond(&executed) == 0 || !intersects(awaited, &owned);
        if settled {
            return Ok(Ok(executed));
        }
        if since.elapsed() >= PATIENCE {
            let mut bound = executed;
            bound.union(&owned);
            return Ok(Ok(bound));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What is owned, then what is executed: read one after the other, in this order.
async fn look(control: &mut Connection) -> Result<Result<(GtidSet, GtidSet), PositionError>, MysqlError> {
    let owned = control.query("SELECT @@GLOBAL.gtid_owned").await?;
    let executed = control.query("SELECT @@GLOBAL.gtid_executed").await?;
    let owned = parse_owned(&owned.first_text().unwrap_or_default());
    let executed = GtidSet::parse(&executed.first_text().unwrap_or_default());
    Ok(owned.and_then(|owned| Ok((owned, executed?))))
}

fn intersects(left: &GtidSet, right: &GtidSet) -> bool {
    let all: u64 = left.count_beyond(&GtidSet::default());
    left.count_beyond(right) < all
}

/// The text of `gtid_owned`: numbers, each with its owners, as in `uuid:5#17:9#21,uuid:tag:3#40`.
fn parse_owned(text: &str) -> Result<GtidSet, PositionError> {
    let mut numbers = String::with_capacity(text.len());
    let mut owner = false;
    for character in text.chars() {
        owner = character == '#' || (owner && character.is_ascii_digit());
        if !owner {
            numbers.push(character);
        }
    }
    GtidSet::parse(&numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429563";

    #[test]
    fn owners_are_left_out() {
        let check = |text: String, expected: String| {
            assert_eq!(parse_owned(&text).unwrap().to_string(), expected, "{text}");
        };
        check(String::new(), String::new());
        check(format!("{A}:23#44"), format!("{A}:23"));
        check(
            format!("{A}:5#17:9#21#22,\n{B}:tag:3#40"),
            format!("{A}:5:9,{B}:tag:3"),
        );
        parse_owned("nonsense").unwrap_err();
    }

    #[test]
    fn sets_meet() {
        let set = |text: &str| GtidSet::parse(text).unwrap();
        let check = |left: String, right: String, expected| {
            assert_eq!(intersects(&set(&left), &set(&right)), expected, "{left} {right}");
        };
        check(format!("{A}:1-5"), format!("{A}:5-9"), true);
        check(format!("{A}:1-5"), format!("{A}:6-9"), false);
        check(format!("{A}:1-5"), format!("{B}:1-5"), false);
        check(String::new(), format!("{B}:1-5"), false);
    }
}
