//! A fingerprint of a table's definition, by which a later start sees that it has changed.

use spanferry_core::plan::TablePlan;

/// A fingerprint of a source table's definition: what values and keys depend on.
pub fn definition_of(plan: &TablePlan) -> String {
    let source = &plan.source;
    let columns: Vec<_> = source
        .columns
        .iter()
        .map(|column| (&column.name, &column.ty, column.nullable))
        .collect();
    let text = format!("{columns:?} {:?} {:?}", source.primary_key, plan.target.columns);
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}
