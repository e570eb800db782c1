//! Cloud Spanner as the target: client, DDL, fenced commits, control tables and reads.
