//! Figures of a run, and their tables.

use crate::client::Seen;

/// What one run of one server gave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Deltas that arrived, a second.
    pub(crate) rate: f64,
    /// From the agent's write to the client's read, microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU time of the server a delta, microseconds.
    pub(crate) cpu: f64,
    /// Peak resident memory, MiB.
    pub(crate) peak: f64,
    /// Bytes by which its memory grew, a delta.
    pub(crate) grown: f64,
    /// Deltas that did not arrive (the log's window had passed a slow reader).
    pub(crate) missing: u64,
}

impl Figures {
    /// `before`, `peak`: the server's resident memory, bytes.
    pub(crate) fn new(seen: &[Seen], expected: u64, cpu: f64, before: u64, peak: u64) -> Self {
        let deltas: u64 = seen.iter().map(|seen| seen.deltas).sum();
        let mut micros: Vec<u32> = seen.iter().flat_map(|seen| settled(&seen.micros)).copied().collect();
        micros.sort_unstable();
        let first = seen.iter().filter_map(|seen| seen.first).min();
        let last = seen.iter().filter_map(|seen| seen.last).max();
        let time = first.zip(last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        Self {
            rate: deltas as f64 / time.max(1e-9),
            p50: percentile(&micros, 50),
            p99: percentile(&micros, 99),
            cpu,
            peak: peak as f64 / f64::from(1 << 20),
            grown: peak.saturating_sub(before) as f64 / deltas.max(1) as f64,
            missing: expected.saturating_sub(deltas),
        }
    }
}

/// Without the first tenth, which finds everything cold.
fn settled(micros: &[u32]) -> &[u32] {
    &micros[micros.len() / 10..]
}

fn percentile(sorted: &[u32], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().map_or(0.0, f64::from)
}

/// A table of runs: what was measured, its figures, and the ratios to the first of its group.
pub(crate) struct Table(Vec<(String, Vec<Figures>)>);

impl Table {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self(names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect())
    }

    pub(crate) fn add(&mut self, name: &str, figures: Figures) {
        if let Some((_, runs)) = self.0.iter_mut().find(|(known, _)| known == name) {
            runs.push(figures);
        }
    }

    /// Medians over the runs; the ratios are medians of the ratios within each run.
    pub(crate) fn print(&self, title: &str) {
        println!("\n### {title}\n");
        println!(
            "| | deltas/s | p50 µs | p99 µs | CPU µs/delta | bytes/delta | peak MiB | missing | rate × | p50 × | p99 × | CPU × |"
        );
        println!("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |");
        let Some((_, base)) = self.0.first() else { return };
        for (name, runs) in &self.0 {
            let of = |field: fn(&Figures) -> f64| median(runs.iter().map(field));
            let ratio = |field: fn(&Figures) -> f64| {
                median(runs.iter().zip(base).map(|(run, base)| field(run) / field(base).max(1e-9)))
            };
            println!(
                "| {name} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                of(|run| run.rate),
                of(|run| run.p50),
                of(|run| run.p99),
                of(|run| run.cpu),
                of(|run| run.grown),
                of(|run| run.peak),
                runs.iter().map(|run| run.missing).max().unwrap_or(0),
                ratio(|run| run.rate),
                ratio(|run| run.p50),
                ratio(|run| run.p99),
                ratio(|run| run.cpu),
            );
        }
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
