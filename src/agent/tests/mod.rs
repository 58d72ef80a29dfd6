//! Behaviour of whole agents, against the fake CLI: every fault ends in bounded time and leaves nothing running.

mod faults;
mod running;
mod starts;
mod stops;
