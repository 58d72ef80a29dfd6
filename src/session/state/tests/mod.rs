//! The state machine under tests that play clients, agent and time.
//!
//! `world` runs the effects and checks them, `agent` is a model of Claude Code, `check` holds the protocol's rules against
//! every event. `random` plays thousands of random games with them; the others are games with a moral.

mod agent;
mod asking;
mod check;
mod deliveries;
mod dice;
mod elicitations;
mod identity;
mod life;
mod prompts;
mod random;
mod reader;
mod rules;
mod stitch;
mod stops;
mod store;
mod tasks;
mod turns;
mod world;
