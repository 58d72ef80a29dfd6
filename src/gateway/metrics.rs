//! `/metrics`: what was counted ([`crate::metrics`]), and what is sampled when somebody asks.
//!
//! A scrape locks each live session for an instant, one after the other; between scrapes it costs nothing. Every name is in
//! `docs/metrics.md`, where a test looks for it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::connection::{Snapshot, Stats};
use crate::protocol::{AgentState, SessionStatus};
use crate::session::{self, Vitals};
use crate::store::{Store, StoreHealth};

/// What `/metrics` says it is to those who ask for `OpenMetrics`.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// To all others.
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Before every name but those of the process.
const PREFIX: &str = "claude_ws";

/// Answers `/metrics`.
#[derive(Debug)]
pub(super) struct Exporter(Registry);

impl Exporter {
    pub(super) fn new(sampler: Sampler) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        sampler.registry.shared().metrics.register(&mut registry);
        registry.register_collector(Box::new(sampler));
        Self(registry)
    }

    /// All metrics as text, `OpenMetrics` 1.0.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.0).is_err() {
            // A string takes everything; only an encoder that gives up could end here.
            let _ = write!(text, "# EOF");
        }
        text
    }
}

/// What is looked at when somebody asks.
#[derive(Debug)]
pub(super) struct Sampler {
    pub(super) registry: Arc<session::Registry>,
    pub(super) stats: Arc<Stats>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) max_agents: usize,
}

impl Collector for Sampler {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        let (live, resting) = self.registry.vitals();
        page.about_connections(&self.stats.snapshot())?;
        page.about_sessions(&live, resting)?;
        self.about_agents(&mut page, &live)?;
        self.about_store(&mut page)?;
        page.about_process()
    }
}

impl Sampler {
    fn about_agents(&self, page: &mut Page<'_>, live: &[Vitals]) -> fmt::Result {
        let count = |state| live.iter().filter(|session| session.agent == state).count();
        let (warm, warming) = self.registry.shared().warm.count();
        let counts = [
            ("stopped", count(AgentState::Stopped)),
            ("waiting", count(AgentState::Waiting)),
            ("starting", count(AgentState::Starting) + warming),
            ("running", count(AgentState::Running)),
            ("warm", warm),
        ];
        page.family("agents", "Agents by state; warm: no session has it yet", "state", &counts)?;
        let (free, waiting) = self.registry.shared().pool.load();
        page.gauge("agent_slots", "Agents that may run at once (--max-agents)", self.max_agents)?;
        page.gauge("agent_slots_free", "Slots that no agent has", free)?;
        page.gauge("agent_slot_waiters", "Sessions that wait for a slot", waiting)
    }

    fn about_store(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(store) = &self.store else { return Ok(()) };
        let counts = store.counts();
        page.counter("store_commits", "Commits", counts.commits)?;
        page.counter("store_commit_failures", "Commits that failed and are tried again", counts.failures)?;
        #[expect(clippy::cast_precision_loss, reason = "microseconds: exact for 285 years")]
        let seconds = counts.micros as f64 / 1e6;
        page.float_counter("store_commit_seconds", "Seconds spent in commits", seconds)?;
        page.gauge("store_backlog_bytes", "Bytes of events that wait to be stored", store.backlog().bytes())?;
        let failing = *store.health().borrow() == StoreHealth::Failing;
        page.gauge("store_failing", "1 while the store cannot be written", usize::from(failing))?;
        let lost = usize::from(store.backlog().has_lost());
        page.gauge("store_lost_events", "1 if events were dropped unstored since the start", lost)
    }
}

/// The page that is written, without the prefix's repetition.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn about_connections(&mut self, seen: &Snapshot) -> fmt::Result {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        self.gauge("sockets", "Open sockets, HTTP and WebSocket", count(seen.sockets))?;
        self.gauge("connections", "Open WebSocket connections", count(seen.connections))?;
        self.counter("sockets_accepted", "Accepted sockets", seen.accepted)?;
        self.counter("sockets_dropped", "Sockets dropped without an answer: no place", seen.dropped)?;
        self.counter("accept_errors", "Errors of accept", seen.accept_errors)?;
        self.counter("http_refusals", "HTTP answers with an error status", seen.refused)?;
        self.counter("upgrades", "WebSocket handshakes that succeeded", seen.upgraded)?;
        self.counter("frames_received", "WebSocket frames received", seen.frames_in)?;
        let help = "Bytes of messages over 16 KiB that are still coming in (--max-inbound-bytes)";
        self.gauge("inbound_bytes", help, count(seen.inbound))?;
        self.counter("received_bytes", "WebSocket bytes received", seen.bytes_in)?;
        self.counter("frames_sent", "WebSocket messages sent", seen.frames_out)?;
        self.counter("sent_bytes", "WebSocket bytes sent", seen.bytes_out)?;
        let help = "Ended connections by close code; 1006: none was exchanged, 0: any other";
        let mut encoder = self.0.encode_descriptor("closes", help, None, MetricType::Counter)?;
        for (code, count) in &seen.closes {
            ConstCounter::new(*count).encode(encoder.encode_family(&[("code", code.to_string())])?)?;
        }
        Ok(())
    }

    fn about_sessions(&mut self, live: &[Vitals], resting: usize) -> fmt::Result {
        let states = [
            ("idle", SessionStatus::Idle),
            ("thinking", SessionStatus::Thinking),
            ("executing_tool", SessionStatus::ExecutingTool),
            ("waiting_permission", SessionStatus::WaitingPermission),
        ];
        let active =
            |state| live.iter().filter(|session| !session.dormant && session.status == state).count();
        let dormant = live.iter().filter(|session| session.dormant).count();
        let counts: Vec<_> = states
            .map(|(name, state)| (name, active(state)))
            .into_iter()
            .chain([("resting", resting + dormant)])
            .collect();
        self.family("sessions", "Sessions by state; resting: dormant", "state", &counts)?;
        let prompts: u64 = live.iter().map(|session| session.prompts).sum();
        let prompts = usize::try_from(prompts).unwrap_or(usize::MAX);
        self.gauge("prompts_open", "Permission prompts that nobody has answered", prompts)?;
        let oldest = live.iter().filter_map(|session| session.oldest_prompt).min();
        let age = oldest.map_or(0, |asked| super::unix_millis().saturating_sub(asked) / 1000);
        let age = usize::try_from(age).unwrap_or(usize::MAX);
        self.gauge("oldest_prompt_age_seconds", "Age of the oldest of them", age)?;
        let lag = live.iter().map(|session| session.lag).max().unwrap_or(0);
        let lag = usize::try_from(lag).unwrap_or(usize::MAX);
        self.gauge("slowest_reader_lag_events", "Events that the slowest reader has yet to read", lag)?;
        let memory = live.iter().map(|session| session.memory).sum();
        self.gauge("log_memory_bytes", "Bytes of events in memory", memory)
    }

    /// As Prometheus' own libraries name them, but under our prefix. Only where the system tells.
    fn about_process(&mut self) -> fmt::Result {
        if let Some(resident) = resident_bytes() {
            self.gauge("process_resident_memory_bytes", "Resident memory of the gateway itself", resident)?;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let alive = runtime.metrics().num_alive_tasks();
            self.gauge("tasks", "Tasks of the gateway that have not ended", alive)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            self.gauge("process_open_fds", "Open file descriptors", open.count())?;
        }
        let encoder = self.0.encode_descriptor("build", "The gateway's version", None, MetricType::Info)?;
        prometheus_client::metrics::info::Info::new([("version", env!("CARGO_PKG_VERSION"))]).encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None::<&Unit>, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn float_counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn family(&mut self, name: &str, help: &str, label: &str, counts: &[(&str, usize)]) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, count) in counts {
            ConstGauge::new(*count).encode(encoder.encode_family(&[(label, *value)])?)?;
        }
        Ok(())
    }
}

/// From `/proc`.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, DataDir};
    use crate::gateway::Gateway;

    const DOCS: &str = include_str!("../../docs/metrics.md");
    const DASHBOARD: &str = include_str!("../../deploy/grafana.json");

    async fn page() -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config {
            data_dir: DataDir::Path(dir.path().to_owned()),
            workspace_roots: vec![dir.path().to_owned()],
            ..Config::default()
        };
        let gateway = Gateway::new(config).await.expect("a gateway");
        let metrics = &gateway.registry.shared().metrics;
        metrics.turn("success", Some(std::time::Duration::from_secs(1)));
        metrics.unknown("x");
        metrics.error("internal");
        metrics.start_failed();
        gateway.service.metrics()
    }

    #[tokio::test]
    async fn the_docs_name_every_metric_and_no_other() {
        let page = page().await;
        assert!(page.ends_with("# EOF\n"));
        let mut exported: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .map(|line| {
                let (name, kind) = line.split_once(' ').expect("name and type");
                let suffix = match kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                format!("{name}{suffix}")
            })
            .collect();
        let kinds = ["| gauge |", "| counter |", "| histogram |", "| info |"];
        let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` "));
        let rows = rows.filter(|(_, rest)| kinds.iter().any(|kind| rest.starts_with(kind)));
        let mut documented: Vec<_> = rows.map(|(name, _)| name.to_owned()).collect();
        exported.sort_unstable();
        documented.sort_unstable();
        assert_eq!(exported, documented);
    }

    #[tokio::test]
    async fn the_dashboard_asks_only_for_metrics_that_exist() {
        let page = page().await;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names = DASHBOARD.split(|c| !is_name(c)).filter(|word| word.starts_with("claude_ws_"));
        let mut count = 0;
        for name in names {
            count += 1;
            let base = ["_total", "_bucket", "_sum", "_count", "_info"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            assert!(page.contains(&format!("# TYPE {base} ")), "{name}");
        }
        assert!(count > 10, "the dashboard is not empty");
        serde_json::from_str::<serde_json::Value>(DASHBOARD).expect("JSON");
    }
}
