//! Recorded streams of both versions, and what no order of lines may break.

mod agreement;
mod golden;
mod lines;
mod recorder;
mod rules;
mod taken_back;
mod tools;
