//! JSON, stored in the form that [`crate::value::json`] defines.

use super::Refusal;
use super::limit::CELL_BYTES_MAX;
use super::refusal::form;
use crate::value::json::{self, Flavor, Form};
use crate::value::scalar::Scalar;
use crate::wire::list_value;

pub(super) fn json(scalar: Scalar<'_>, flavor: Flavor, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (Scalar::Json(text) | Scalar::Text(text)) = scalar else {
        return form("JSON");
    };
    let limit = CELL_BYTES_MAX as usize;
    let opened = list_value::open_string(out);
    let start = out.len();
    let result = json::write(text, flavor, Form::Stored, out);
    if out.len() - start > limit {
        return Err(Refusal::TooLong {
            limit: u64::from(CELL_BYTES_MAX),
        });
    }
    result.map_err(|reason| Refusal::Json { reason })?;
    list_value::close_list(out, opened);
    Ok(())
}

/// Which JSON the target holds, by what its numbers can be.
pub(crate) fn flavor(arbitrary_numbers: bool) -> Flavor {
    if arbitrary_numbers {
        Flavor::Jsonb
    } else {
        Flavor::Json
    }
}

#[cfg(test)]
mod tests {
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;
    use crate::value::scalar::Scalar;

    #[test]
    fn spaces_go_and_keys_stay_in_order() {
        check(
            Encoding::Json {
                arbitrary_numbers: false,
            },
            Scalar::Json("{\"b\": 1, \"a\": 2}"),
            Ok("{\"b\":1,\"a\":2}"),
        );
    }
}
