//! The known name that a mistyped one probably means.

/// From this likeness on a name is worth proposing (0 nothing in common, 1 the same): one letter
/// wrong, left out or swapped in four.
const LIKENESS_MIN: f64 = 0.8;

/// The known name that is most like `word`, if any is like it at all. Case is no difference.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&word, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let known = [
            "orders",
            "order_lines",
            "customers",
            "t1",
            "t2",
            "source",
            "source-rate",
        ];
        let check = |word, expected| assert_eq!(nearest(word, known), expected, "{word}");
        check("ordres", Some("orders"));
        check("order", Some("orders"));
        check("Customers", Some("customers"));
        check("costumer", Some("customers"));
        check("source_rate", Some("source-rate"));
        check("sorce", Some("source"));
        check("invoices", None);
        check("x", None);
        check("", None);
    }
}
