//! Which of Prometheus' two text formats a scraper gets.
//!
//! The metrics are encoded as `OpenMetrics` 1.0. The older text format 0.0.4, which every parser reads, is derived from that: it
//! names families of counters by their samples, knows no `info`, and neither units nor an end.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Whether `Accept` asks for `OpenMetrics` and prefers nothing to it. As Prometheus' own libraries do it, all others get text.
pub(super) fn wants_open_metrics<'a>(accepted: impl Iterator<Item = &'a str>) -> bool {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse);
        let weight = weight.unwrap_or(0.0);
        match kind.as_str() {
            "application/openmetrics-text" => open = open.max(weight),
            "text/plain" => plain = plain.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

/// An `OpenMetrics` page in text format 0.0.4.
pub(super) fn plain(page: &str) -> String {
    let meta = |line| str::strip_prefix(line, "# TYPE ").and_then(|rest: &str| rest.split_once(' '));
    let kinds: HashMap<&str, &str> = page.lines().filter_map(meta).collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        let (Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let (suffix, kind) = match kinds.get(name) {
            Some(&"counter") => ("_total", "counter"),
            Some(&"info") => ("_info", "gauge"),
            Some(&"unknown") => ("", "untyped"),
            Some(kind) => ("", *kind),
            None => continue,
        };
        let rest = if what == "TYPE" { kind } else { rest };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# {what} {name}{suffix} {rest}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{plain, wants_open_metrics};

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, open) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("text/plain;version=0.0.4", false),
            ("text/plain;q=0.9, application/openmetrics-text;q=0.1", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(wants_open_metrics([accept].into_iter()), open, "{accept}");
        }
        assert!(!wants_open_metrics(std::iter::empty()));
    }

    #[test]
    fn the_older_format_names_families_by_their_samples() {
        let page = "# HELP a_seconds Help.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{x=\"# y\"} 1\n\
            # HELP b Version.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP g G.\n# TYPE g gauge\ng 2\n# EOF\n";
        let text = "# HELP a_seconds_total Help.\n# TYPE a_seconds_total counter\na_seconds_total{x=\"# y\"} 1\n\
            # HELP b_info Version.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP g G.\n# TYPE g gauge\ng 2\n";
        assert_eq!(plain(page), text);
    }
}
