//! Test kit: real servers, interposer, fault proxy, workload generator, reference model and conformance suites.
