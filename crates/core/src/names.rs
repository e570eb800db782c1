//! Names at the target: legal, distinct without regard to case, the same at every run.

use std::collections::BTreeSet;

/// Longest identifier of Spanner.
const NAME_CHARACTERS_MAX: usize = 128;

/// The names given so far in one name space.
#[derive(Debug, Default)]
pub struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// A legal name as near to the wanted one as may be.
    pub fn give(&mut self, wanted: &str) -> String {
        let legal = legal(wanted);
        let mut name = legal.clone();
        for number in 2.. {
            if self.taken.insert(name.to_lowercase()) {
                break;
            }
            let ending = format!("_{number}");
            let kept: String = legal.chars().take(NAME_CHARACTERS_MAX - ending.len()).collect();
            name = kept + &ending;
        }
        name
    }
}

/// Letters, digits and underscores, a letter first.
fn legal(wanted: &str) -> String {
    let mut name: String = wanted
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.insert_str(0, "x_");
    }
    name.truncate(NAME_CHARACTERS_MAX);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_distinct() {
        let mut names = Names::default();
        let mut check = |wanted: &str, expected: &str| assert_eq!(names.give(wanted), expected);
        check("order", "order");
        check("Order", "Order_2");
        check("order-line", "order_line");
        check("order line", "order_line_2");
        check("2fast", "x_2fast");
        check("_id", "x__id");
        check(&"a".repeat(200), &"a".repeat(128));
        check(&"a".repeat(201), &format!("{}_2", "a".repeat(126)));
    }
}
