//! What it costs to turn the agent's lines into protocol frames.
//!
//! For each kind of line (recorded from both versions, `tests/fixtures/lines`) and for the mix of a turn (200 text deltas, 3 text
//! blocks, 2 tool calls, 1 tool result, 1 result), in one run: the way over the SDK's types (`sdk`), ours, ours without the
//! short way for deltas (`parser`), and the limits (`memcpy`, `utf8`). Ratios within a run are what counts.

use std::hint::black_box;
use std::time::Duration;

use claude_ws::converter::{Converter, ConverterOptions};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

mod lines;
mod sdk_path;

use lines::{KINDS, Ours, corpus, mix};

fn bench_lines(criterion: &mut Criterion, name: &str, lines: &[Vec<u8>]) {
    let mut group = criterion.benchmark_group(name);
    let bytes: usize = lines.iter().map(Vec::len).sum();
    group.throughput(Throughput::Bytes(bytes as u64));
    let deltas_only = name.ends_with("_delta");
    group.bench_function(BenchmarkId::from_parameter("sdk"), |bencher| {
        bencher.iter(|| {
            for line in lines {
                black_box(sdk_path::convert(line));
            }
        });
    });
    for (label, short) in [("ours", true), ("parser", false)] {
        group.bench_function(BenchmarkId::from_parameter(label), |bencher| {
            let mut ours = Ours::new();
            ours.begin(lines);
            bencher.iter(|| {
                if !deltas_only {
                    // A tool call is told once, so the others need a session that has not heard of it.
                    ours.converter = Converter::new(ConverterOptions::default());
                    ours.begin(lines);
                }
                for line in lines {
                    ours.line(line, short);
                }
                ours.frames.bytes
            });
        });
    }
    group.bench_function(BenchmarkId::from_parameter("memcpy"), |bencher| {
        let mut copy = Vec::with_capacity(bytes);
        bencher.iter(|| {
            copy.clear();
            for line in lines {
                copy.extend_from_slice(black_box(line));
            }
            black_box(copy.len())
        });
    });
    group.bench_function(BenchmarkId::from_parameter("utf8"), |bencher| {
        bencher.iter(|| lines.iter().all(|line| simdutf8::basic::from_utf8(black_box(line)).is_ok()));
    });
    group.finish();
}

fn convert(criterion: &mut Criterion) {
    for (kind, _) in KINDS {
        bench_lines(criterion, kind, &corpus(kind));
    }
    bench_lines(criterion, "mix", &mix());
}

criterion_group! {
    name = benches;
    // Forty figures: short, so that a run takes two minutes.
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = convert
}
criterion_main!(benches);
