//! Tests of what is around the state machine: pool, records, registry.

mod pool;
mod record;
mod registry;
mod revive;
