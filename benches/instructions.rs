//! Instructions that the conversion of a turn's mix takes, ours and the way over the SDK's types, counted by callgrind: figures
//! that a busy machine does not change. `scripts/instructions.py` holds their ratio.

#![allow(missing_docs, reason = "the harness writes the items")]

use std::hint::black_box;

use gungraun::prelude::*;

mod lines;
mod sdk_path;

use lines::{Ours, corpus, mix};

/// Times that the lines are taken, so that the first look at each place in the code does not count much.
const ROUNDS: usize = 20;

fn kind(name: &str) -> Vec<Vec<u8>> {
    if name == "mix" { mix() } else { corpus(name) }
}

/// Sessions in mid-turn, one for each round (a tool call is told once: the next round needs one that has not heard of it), and the
/// lines. Making them is not counted.
fn sessions(name: &str) -> (Vec<Ours>, Vec<Vec<u8>>) {
    let lines = kind(name);
    let session = || {
        let mut ours = Ours::new();
        ours.begin(&lines);
        ours
    };
    (std::iter::repeat_with(session).take(ROUNDS).collect(), lines)
}

#[library_benchmark]
#[bench::text_delta(args = ("text_delta"), setup = kind)]
#[bench::mix(args = ("mix"), setup = kind)]
fn sdk(lines: Vec<Vec<u8>>) -> usize {
    (0..ROUNDS).map(|_| lines.iter().map(|line| sdk_path::convert(black_box(line))).sum::<usize>()).sum()
}

#[library_benchmark]
#[bench::text_delta(args = ("text_delta"), setup = sessions)]
#[bench::mix(args = ("mix"), setup = sessions)]
fn ours((sessions, lines): (Vec<Ours>, Vec<Vec<u8>>)) -> Vec<Ours> {
    convert(sessions, &lines, true)
}

// By the parser, without the short way for deltas.
#[library_benchmark]
#[bench::text_delta(args = ("text_delta"), setup = sessions)]
fn parsed((sessions, lines): (Vec<Ours>, Vec<Vec<u8>>)) -> Vec<Ours> {
    convert(sessions, &lines, false)
}

/// Gives the sessions back, so that their end is not counted either.
fn convert(mut sessions: Vec<Ours>, lines: &[Vec<u8>], short: bool) -> Vec<Ours> {
    for ours in &mut sessions {
        for line in lines {
            ours.line(black_box(line), short);
        }
    }
    sessions
}

library_benchmark_group!(name = conversion, benchmarks = [sdk, ours, parsed]);
main!(library_benchmark_groups = conversion);
