//! Behaviour of whole agents, against the fake CLI.
