//! Pure heart of Spanferry: values, schemas, positions, ordering, progress and the boundary traits.
