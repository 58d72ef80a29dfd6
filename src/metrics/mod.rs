//! Room: what is counted where it happens, for `/metrics`. Plain counters; what can be read off elsewhere is not here but sampled
//! by `gateway`.
//!
//! May assume: labels come from small fixed sets, except kinds of agent messages, which are bounded here. Must not know: what a turn,
//! an error or an agent is. Nothing here is touched for each delta: the most frequent calls are one addition per batch of events.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Kinds of agent messages that are counted by name; further ones share `other`. An agent could invent names for ever.
const MAX_KINDS: usize = 32;
/// Longest name of a kind.
const MAX_KIND: usize = 48;

/// Upper bounds in seconds: an agent that is up answers in well under a second; one that starts, and a slow model, take longer.
const FIRST_EVENT: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0];
/// Upper bounds in seconds: from an answer of one line to hours of work.
const TURN: [f64; 12] = [0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 7200.0];
/// Upper bounds in seconds.
const START: [f64; 8] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// The counters of one gateway. All methods may be called from anywhere.
#[derive(Debug)]
pub struct Metrics {
    turns: Labelled,
    turn_seconds: Histogram,
    first_event_seconds: Histogram,
    errors: Labelled,
    unknown: Family<[(&'static str, String); 1], Counter>,
    kinds: parking_lot::Mutex<Vec<String>>,
    starts: Labelled,
    start_seconds: Histogram,
    events: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            turns: Family::default(),
            turn_seconds: Histogram::new(TURN),
            first_event_seconds: Histogram::new(FIRST_EVENT),
            errors: Family::default(),
            unknown: Family::default(),
            kinds: parking_lot::Mutex::default(),
            starts: Family::default(),
            start_seconds: Histogram::new(START),
            events: Counter::default(),
        }
    }
}

impl Metrics {
    /// A turn came to its end after `took`; `None`: it never began.
    pub fn turn(&self, outcome: &'static str, took: Option<Duration>) {
        self.turns.get_or_create(&[("outcome", outcome)]).inc();
        if let Some(took) = took {
            self.turn_seconds.observe(took.as_secs_f64());
        }
    }

    /// The first event of a turn came so long after its begin.
    pub fn first_event(&self, after: Duration) {
        self.first_event_seconds.observe(after.as_secs_f64());
    }

    /// Somebody was told of an error.
    pub fn error(&self, code: &'static str) {
        self.errors.get_or_create(&[("code", code)]).inc();
    }

    /// The agent said something that nobody understood.
    pub fn unknown(&self, kind: &str) {
        let kind = self.bounded(kind);
        self.unknown.get_or_create(&[("kind", kind)]).inc();
    }

    /// An agent came up after `took`.
    pub fn started(&self, took: Duration) {
        self.starts.get_or_create(&[("outcome", "started")]).inc();
        self.start_seconds.observe(took.as_secs_f64());
    }

    /// A session took an agent that was warm, and whose start was counted before.
    pub fn adopted(&self) {
        self.starts.get_or_create(&[("outcome", "adopted")]).inc();
    }

    /// An agent did not come up.
    pub fn start_failed(&self) {
        self.starts.get_or_create(&[("outcome", "failed")]).inc();
    }

    /// So many events were appended.
    pub fn events(&self, count: u64) {
        self.events.inc_by(count);
    }

    /// Has all of them appear in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("turns", "Turns by how they ended", self.turns.clone());
        let help = "Seconds from the begin of a turn to its result";
        registry.register("turn_seconds", help, self.turn_seconds.clone());
        let help = "Seconds from the begin of a turn to the first message of the model";
        registry.register("first_event_seconds", help, self.first_event_seconds.clone());
        registry.register("errors", "Messages of type error, by code", self.errors.clone());
        let help = "Messages of the agent that the gateway does not know, by kind";
        registry.register("unknown_agent_messages", help, self.unknown.clone());
        registry.register("agent_starts", "Starts of agents by outcome", self.starts.clone());
        let help = "Seconds from an agent's launch until it can be spoken to";
        registry.register("agent_start_seconds", help, self.start_seconds.clone());
        registry.register("events", "Session events appended to logs", self.events.clone());
    }

    /// `kind` while there are few, and while it looks like a name.
    fn bounded(&self, kind: &str) -> String {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        if kind.is_empty() || kind.len() > MAX_KIND || !kind.bytes().all(legal) {
            return "other".to_owned();
        }
        let mut kinds = self.kinds.lock();
        if !kinds.iter().any(|known| known == kind) {
            if kinds.len() >= MAX_KINDS {
                return "other".to_owned();
            }
            kinds.push(kind.to_owned());
        }
        kind.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes all");
        text
    }

    #[test]
    fn an_agent_cannot_invent_labels_for_ever() {
        let metrics = Metrics::default();
        for n in 0..1000 {
            metrics.unknown(&format!("kind{n}"));
        }
        for odd in ["", "\"} 1\nfake", &"x".repeat(100), "ü"] {
            metrics.unknown(odd);
        }
        let text = text(&metrics);
        let lines = text.lines().filter(|line| line.starts_with("unknown_agent_messages_total{"));
        assert_eq!(lines.count(), MAX_KINDS + 1);
        assert!(text.contains(&format!("kind=\"other\"}} {}", 1000 - MAX_KINDS + 4)), "{text}");
    }

    #[test]
    fn a_turn_that_never_began_has_no_time() {
        let metrics = Metrics::default();
        metrics.turn("success", Some(Duration::from_millis(700)));
        metrics.turn("cancelled", None);
        let text = text(&metrics);
        assert!(text.contains("turns_total{outcome=\"cancelled\"} 1"));
        assert!(text.contains("turn_seconds_count 1"));
        assert!(text.contains("turn_seconds_bucket{le=\"1.0\"} 1"));
    }
}
