//! Load on loopback: the real gateway with agents and clients that cost next to nothing, beside a bare relay in the same run.
//!
//! `cargo build --release --bins --examples && target/release/examples/load` prints Markdown tables; name scenarios to run
//! only those (`load --help` lists them). Everything is bounded and on 127.0.0.1, port 0; single figures vary with the machine,
//! the ratios are what counts.
//!
//! The one binary plays every part: with `--print` or `--version` it is the agent ([`emitter`]), with `relay` the bare relay
//! ([`relay`]), with `pin` it runs a program on one core ([`process`]).
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "a measuring tool: it turns counts into figures for people"
)]

mod client;
mod emitter;
mod process;
mod relay;
mod report;
mod scenarios;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("relay") => relay::main(arguments.get(1).and_then(|count| count.parse().ok())),
        Some("pin") => process::pinned(&arguments[1..]),
        Some("--version") => {
            println!("2.1.330 (load)");
            Ok(())
        }
        _ if arguments.iter().any(|argument| argument == "--print") => emitter::main(),
        _ => scenarios::main(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("load: {problem}");
            ExitCode::FAILURE
        }
    }
}
