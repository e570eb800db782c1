//! What a type of the source cannot do at the target, as values, and their words.

/// Why the values of a column cannot be carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeRefusal {
    /// This type is not known.
    Unknown(String),
    /// An array of arrays.
    NestedArray,
}

impl TypeRefusal {
    pub(crate) fn words(&self) -> String {
        match self {
            TypeRefusal::Unknown(ty) => format!("the type `{ty}` is not known"),
            TypeRefusal::NestedArray => {
                "an array of arrays: the target's arrays have one dimension".to_owned()
            }
        }
    }
}

/// Why values of a type cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRefusal {
    /// A floating-point number: 0 and -0 are equal at the source, and have different bytes.
    FloatingPoint,
    /// The target takes no key of the type.
    NoKeyAtTarget,
    /// An empty label of ENUM or SET.
    EmptyLabel,
    /// Two codes of the charset stand for one character.
    TwoCodes,
}

impl KeyRefusal {
    pub(crate) fn words(self) -> &'static str {
        match self {
            KeyRefusal::FloatingPoint => {
                "a floating-point number as key: 0 and -0 are equal, and are stored differently"
            }
            KeyRefusal::NoKeyAtTarget => "a type that cannot be a key at the target",
            KeyRefusal::EmptyLabel => "an empty label, which reads like the value of no label",
            KeyRefusal::TwoCodes => "a charset in which two codes stand for one character",
        }
    }
}

/// What decides at the source that values of different bytes are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folding {
    /// This collation.
    Collation(String),
    /// The type itself.
    Type,
}

impl Folding {
    pub(crate) fn words(&self) -> String {
        match self {
            Folding::Collation(collation) => format!("collation `{collation}`"),
            Folding::Type => "type".to_owned(),
        }
    }
}
