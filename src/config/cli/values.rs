//! What the values of flags may be.

use std::time::Duration;

/// The longest time that can be given: far enough from what a clock can hold that sums of times fit too.
const MAX_TIME: Duration = Duration::from_hours(100 * 365 * 24);

/// The module path of the WebSocket library's log.
const LIBRARY: &str = "tungstenite";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A time.
pub(super) fn time(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_duration(text)
        .map_err(|_| "a time is a number with a unit: 500ms, 15s, 10min, 1h, 7days")?;
    if time > MAX_TIME { Err("a time is 100 years (36500days) at most") } else { Ok(time) }
}

/// A time in which something has to happen: with none, nothing ever could.
pub(super) fn some_time(text: &str) -> Result<Duration, &'static str> {
    let time = time(text)?;
    if time.is_zero() { Err("it has to be longer than no time at all") } else { Ok(time) }
}

/// A limit that would stop everything if it were 0.
pub(super) fn at_least_one<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    let number: u64 =
        text.parse().map_err(|problem: std::num::ParseIntError| format!("a whole number: {problem}"))?;
    if number == 0 {
        return Err("it has to be at least 1".to_owned());
    }
    N::try_from(number).map_err(|_| "it is too large".to_owned())
}

/// `env_logger`'s filter. A word that is no level would be taken for a module, and everything else would fall silent.
///
/// The WebSocket library's finest level is left out whatever is asked for: it writes out whole messages, secrets of clients
/// included.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let (directives, pattern) =
        text.split_once('/').map_or((text, None), |(before, after)| (before, Some(after)));
    for directive in directives.split(',').map(str::trim) {
        let level = directive.split_once('=').map_or(directive, |(_, level)| level).trim();
        if !LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known)) {
            return Err(format!(
                "{level:?} is no level: say one of {}; for a part of the program claude_ws=debug; several with commas",
                LEVELS.join(", ")
            ));
        }
    }
    let asked = directives.to_ascii_lowercase();
    if !asked.contains("trace") && !asked.contains(LIBRARY) {
        return Ok(text.to_owned());
    }
    let others = directives.split(',').filter(|directive| !directive.trim_start().starts_with(LIBRARY));
    let filter = others.chain(["tungstenite=debug"]).collect::<Vec<_>>().join(",");
    Ok(pattern.map_or_else(|| filter.clone(), |pattern| format!("{filter}/{pattern}")))
}

#[cfg(test)]
mod tests {
    use super::{at_least_one, log_filter, some_time};

    #[test]
    fn no_filter_shows_what_clients_say() {
        let filter = |text| log_filter(text).unwrap();
        assert_eq!(filter("info"), "info");
        assert_eq!(filter("warn,claude_ws=debug"), "warn,claude_ws=debug");
        assert_eq!(filter("TRACE"), "TRACE,tungstenite=debug");
        assert_eq!(filter("info, tungstenite::protocol=trace"), "info,tungstenite=debug");
        assert_eq!(filter("tungstenite=debug"), "tungstenite=debug");
        assert_eq!(filter("trace/x, y"), "trace,tungstenite=debug/x, y");
        assert_eq!(filter("off"), "off");
    }

    /// `--log inf` was taken for a module's name, and nothing at all was logged.
    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for text in ["inf", "", "info,", "claude_ws", "claude_ws=", "claude_ws=inf", "warn,claude_ws=1"] {
            let problem = log_filter(text).expect_err(text);
            assert!(
                problem.contains("error, warn, info") && problem.contains("is no level"),
                "{text}: {problem}"
            );
        }
    }

    #[test]
    fn nothing_is_no_limit_and_no_time() {
        assert_eq!(at_least_one::<usize>("1"), Ok(1));
        assert_eq!(at_least_one::<u32>("4294967295"), Ok(u32::MAX));
        for (text, word) in
            [("0", "at least 1"), ("4294967296", "too large"), ("-1", "whole"), ("many", "whole")]
        {
            let problem = at_least_one::<u32>(text).expect_err(text);
            assert!(problem.contains(word), "{text}: {problem}");
        }
        assert!(some_time("0s").is_err() && some_time("1ms").is_ok());
    }
}
