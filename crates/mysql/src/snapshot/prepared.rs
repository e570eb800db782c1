//! Prepared XA transactions: they are in the binary log before a snapshot, and may become visible behind it.

use std::time::Duration;

use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};

use crate::connection::Connection;
use crate::source::MysqlSource;

/// MySQL's answer to `XA RECOVER` without the privilege for it.
const XA_RECOVER_DENIED: u16 = 1401;

/// A prepared XA transaction is in the binary log before `low` and in no snapshot: it must end first.
pub(super) async fn expect_none(source: &MysqlSource, control: &mut Connection) -> Result<(), Failure> {
    let open = match control.query("XA RECOVER").await {
        Ok(found) => found.rows.len(),
        Err(error) if error.is_denied() || error.server_code() == Some(XA_RECOVER_DENIED) => 0,
        Err(error) => return Err(source.failure(error)),
    };
    if open == 0 {
        return Ok(());
    }
    let class = Class::Retry {
        after: Some(Duration::from_secs(1)),
    };
    let text = format!("{open} prepared XA transactions are open");
    let failure = Failure::new(code::SOURCE_SETTING, class, control.address(), text);
    Err(failure.hint("End them with `XA COMMIT` or `XA ROLLBACK`; `XA RECOVER` lists them."))
}
