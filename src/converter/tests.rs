//! Recorded streams of both versions, and what no order of lines may break.

mod golden;
mod recorder;
mod rules;
