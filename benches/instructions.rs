//! Instructions that the conversion of a turn's mix takes, ours and the way over the SDK's types, counted by callgrind: figures
//! that a busy machine does not change. `scripts/instructions.py` holds their ratio.

#![allow(missing_docs, reason = "the harness writes the items")]

use std::hint::black_box;

use claude_ws::converter::{Converter, ConverterOptions};
use gungraun::prelude::*;

mod lines;
mod sdk_path;

use lines::{Ours, corpus, mix};

/// Times that the lines are taken, so that the first look at each place in the code does not count much.
const ROUNDS: usize = 20;

fn kind(name: &str) -> Vec<Vec<u8>> {
    if name == "mix" { mix() } else { corpus(name) }
}

/// A session in mid-turn, and the lines.
fn session(name: &str) -> (Ours, Vec<Vec<u8>>) {
    let lines = kind(name);
    let mut ours = Ours::new();
    ours.begin(&lines);
    (ours, lines)
}

#[library_benchmark]
#[bench::text_delta(args = ("text_delta"), setup = kind)]
#[bench::mix(args = ("mix"), setup = kind)]
fn sdk(lines: Vec<Vec<u8>>) -> usize {
    (0..ROUNDS).map(|_| lines.iter().map(|line| sdk_path::convert(black_box(line))).sum::<usize>()).sum()
}

#[library_benchmark]
#[bench::text_delta(args = ("text_delta"), setup = session)]
#[bench::mix(args = ("mix"), setup = session)]
fn ours((mut ours, lines): (Ours, Vec<Vec<u8>>)) -> usize {
    for _ in 0..ROUNDS {
        // A tool call is told once: the next round needs a session that has not heard of it.
        ours.converter = Converter::new(ConverterOptions::default());
        ours.begin(&lines);
        for line in &lines {
            ours.line(black_box(line), true);
        }
    }
    ours.frames.bytes
}

library_benchmark_group!(name = convert, benchmarks = [sdk, ours]);
main!(library_benchmark_groups = convert);
