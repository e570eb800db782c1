//! What JSON is written for, and why it is not.

/// The type that holds the JSON at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// GoogleSQL's JSON: numbers are 64-bit integers, signed or unsigned, or doubles.
    Json,
    /// PostgreSQL's jsonb: any decimal, but no U+0000 in strings.
    Jsonb,
}

/// What a JSON text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// To be stored: no space, keys in the source's order, numbers as spelled; what the target
    /// would change is refused.
    Stored,
    /// To be compared: keys in order of their bytes, numbers as digits and exponent.
    Compared,
}

/// Why a text is not written. Holds nothing of it.
pub type Reason = &'static str;
