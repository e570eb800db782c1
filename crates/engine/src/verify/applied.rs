//! The position that the target holds, by the record of its migration.

use spanferry_core::port::target::{ControlState, Lane};
use spanferry_core::position::Bookmark;
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

/// What the main stream of a recorded migration has applied. A load that no stream of changes
/// follows has no position: it is the failure `ROAD_CHANGED`.
pub fn applied(control: &ControlState) -> Result<Bookmark, Failure> {
    let failed = |code, text: &str| Failure::new(code, Class::StopMigration, "target", text);
    if control.migration.stream.is_none() {
        let text = "it holds a load without a stream of changes: there is no position at which it could be compared with the source";
        return Err(failed(code::ROAD_CHANGED, text));
    }
    let (stream, lane) = Lane::MAIN.parts();
    let row = control.fences.get(&(stream.to_owned(), lane));
    let reached = row.and_then(|row| row.reached.as_ref());
    let text = "the fence row of the main stream is missing or cannot be read";
    reached
        .map(Checkpoint::bookmark)
        .ok_or_else(|| failed(code::STATE_FOREIGN, text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use spanferry_core::port::change_log::Sequence;
    use spanferry_core::port::target::{Epoch, FenceKey, FenceRow, LeftOut, MigrationRow, StreamRow};
    use spanferry_core::schema::target::Dialect;

    use super::*;

    fn control(stream: Option<StreamRow>, reached: Option<Checkpoint>) -> ControlState {
        let key = FenceKey {
            epoch: Epoch(1),
            sequence: Sequence(0),
            piece: 0,
        };
        let (name, lane) = Lane::MAIN.parts();
        ControlState {
            migration: MigrationRow {
                id: "m".to_owned(),
                epoch: Epoch(1),
                stream,
                source: "db1:3306/shop".to_owned(),
                schema: "shop".to_owned(),
                dialect: Dialect::GoogleSql,
            },
            fences: BTreeMap::from([((name.to_owned(), lane), FenceRow { key, reached })]),
            definitions: BTreeMap::new(),
            tables: BTreeMap::new(),
            ranges: BTreeMap::new(),
            left_out: LeftOut::new(),
        }
    }

    #[test]
    fn a_load_without_a_stream_is_another_road() {
        let code = |control: &ControlState| applied(control).unwrap_err().code;
        assert_eq!(code(&control(None, None)), code::ROAD_CHANGED);
        let at = Bookmark::parse("mariadb:0-1-5").unwrap();
        let stream = StreamRow {
            log_id: "l".to_owned(),
            start_position: at.position.clone(),
        };
        assert_eq!(code(&control(Some(stream.clone()), None)), code::STATE_FOREIGN);
        let reached = Some(Checkpoint::whole(at.clone()));
        assert_eq!(applied(&control(Some(stream), reached)).unwrap(), at);
    }
}
