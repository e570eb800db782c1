//! The durable change log: append-only segments of raw source events on local disk.
