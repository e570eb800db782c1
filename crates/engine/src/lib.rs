//! Runs a migration: supervises snapshot, capture, apply and verify over the traits of core.
