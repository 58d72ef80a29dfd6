//! (room)

pub mod wire;
