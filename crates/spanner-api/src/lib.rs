//! Generated Spanner gRPC stubs, client and server.
