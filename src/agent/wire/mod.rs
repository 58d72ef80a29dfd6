//! Borrowed types of the lines that the agent writes to its stdout.
