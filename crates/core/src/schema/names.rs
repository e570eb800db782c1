//! Names at the target: legal, distinct without regard to case, the same at every run.

use std::collections::BTreeSet;

use crate::schema::legal_name::{NameKind, bytes_max, legal_name};
use crate::schema::target::Dialect;

/// The names given so far in one name space.
#[derive(Debug, Clone)]
pub struct Names {
    dialect: Dialect,
    taken: BTreeSet<String>,
}

/// A name that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The name at the source.
    pub wanted: &'a str,
    /// The name that the same object was given before, if it was: it keeps that.
    pub former: Option<&'a str>,
}

impl Names {
    /// A name space in which no name is taken.
    pub fn new(dialect: Dialect) -> Names {
        Names {
            dialect,
            taken: BTreeSet::new(),
        }
    }

    /// Whether nothing has this name.
    pub(crate) fn is_free(&self, name: &str) -> bool {
        !self.taken.contains(&name.to_lowercase())
    }

    /// Takes a name out of the choice.
    pub fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_lowercase());
    }

    /// Names for all objects of one kind, in their order. First those that had a name keep it. Then
    /// those whose own name is legal get that, whatever other names would become the same. The rest
    /// is renamed.
    pub(crate) fn give_all(&mut self, kind: NameKind, wishes: &[Wish<'_>]) -> Vec<String> {
        let mut given: Vec<Option<String>> =
            wishes.iter().map(|wish| wish.former.map(str::to_owned)).collect();
        for name in given.iter().flatten() {
            self.reserve(name);
        }
        for only_legal in [true, false] {
            for (wish, name) in wishes.iter().zip(&mut given) {
                if name.is_none()
                    && (!only_legal || legal_name(wish.wanted, kind, self.dialect) == wish.wanted)
                {
                    *name = Some(self.give(kind, wish.wanted));
                }
            }
        }
        given.into_iter().flatten().collect()
    }

    /// A legal name as near to the wanted one as may be.
    pub fn give(&mut self, kind: NameKind, wanted: &str) -> String {
        let legal = legal_name(wanted, kind, self.dialect);
        let mut name = legal.clone();
        for number in 2.. {
            if self.taken.insert(name.to_lowercase()) {
                break;
            }
            let ending = format!("_{number}");
            let room = bytes_max(self.dialect) - ending.len();
            let kept: String = legal.chars().take(room).collect();
            name = kept + &ending;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_distinct() {
        let mut names = Names::new(Dialect::GoogleSql);
        let mut check = |wanted: &str, expected: &str| {
            assert_eq!(names.give(NameKind::Table, wanted), expected);
        };
        check("order", "order");
        check("Order", "Order_2");
        check("order-line", "order_line");
        check("order line", "order_line_2");
        check("2fast", "x_2fast");
        check("_id", "x__id");
        check(&"a".repeat(200), &"a".repeat(128));
        check(&"a".repeat(201), &format!("{}_2", "a".repeat(126)));
    }

    #[test]
    fn names_that_are_equal_in_their_first_63_bytes_stay_distinct() {
        let mut names = Names::new(Dialect::PostgreSql);
        let mut check = |kind, wanted: &str, expected: &str| {
            assert_eq!(names.give(kind, wanted), expected);
        };
        let long = "a".repeat(63);
        check(NameKind::Table, &format!("{long}b"), &long);
        check(
            NameKind::Table,
            &format!("{long}c"),
            &format!("{}_2", "a".repeat(61)),
        );
        check(
            NameKind::Index,
            &format!("{long}_by_name"),
            &format!("{}_3", "a".repeat(61)),
        );
        check(NameKind::ForeignKey, &long, &format!("{}_4", "a".repeat(61)));
        // A name that was made by cutting is taken too.
        check(
            NameKind::Table,
            &format!("{}_2", "A".repeat(61)),
            &format!("{}_5", "A".repeat(61)),
        );
    }

    #[test]
    fn a_legal_name_is_kept_and_a_former_one_more_so() {
        let new = |wanted| Wish { wanted, former: None };
        let check = |wishes: &[Wish<'_>], expected: &[&str]| {
            let mut names = Names::new(Dialect::GoogleSql);
            names.reserve("Taken");
            assert_eq!(names.give_all(NameKind::Table, wishes), expected, "{wishes:?}");
        };
        check(&[new("a-b"), new("a_b")], &["a_b_2", "a_b"]);
        check(&[new("A_b"), new("a_b"), new("a b")], &["A_b", "a_b_2", "a_b_3"]);
        check(&[new("taken"), new("a-b")], &["taken_2", "a_b"]);
        let former = Wish {
            wanted: "a.b",
            former: Some("a_b"),
        };
        check(&[new("a_b"), former, new("a-b")], &["a_b_2", "a_b", "a_b_3"]);
    }
}
