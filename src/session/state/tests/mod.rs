//! The state machine under tests that play clients, agent and time.
