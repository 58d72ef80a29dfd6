//! The `claude-ws` command: flags, logging, signals.

fn main() {}
