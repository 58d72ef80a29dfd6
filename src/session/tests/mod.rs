//! Tests of what is around the state machine: pool, records, registry.
