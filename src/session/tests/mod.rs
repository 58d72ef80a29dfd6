//! Tests of what is around the state machine: pool, records, registry.

mod lab;
mod list;
mod pool;
mod record;
mod registry;
mod rest;
mod revive;
mod shut;
