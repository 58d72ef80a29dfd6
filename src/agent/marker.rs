//! The environment marker by which an agent's processes are found again, whatever session or group they moved to.
//!
//! May assume that descendants inherit the environment. Must not touch processes: the `sweep` module does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// The environment variable that every agent gets: `<instance>:<run>.<n>`.
pub const MARKER_VARIABLE: &str = "CLAUDE_WS_AGENT";

/// The identity of one gateway installation, the same over restarts (it belongs to the data directory), so that a new
/// run can sweep what the last one left and nothing else. Clones count on together.
#[derive(Debug, Clone)]
pub struct Instance {
    id: Arc<str>,
    /// `<instance>:<run>.`: tells this run of the gateway from the one before, whose guard may still be at work.
    run: Arc<str>,
    next: Arc<AtomicU64>,
}

/// The instance id is empty, longer than 64 bytes or not of `A-Z a-z 0-9 - _`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance id is 1 to 64 of A-Z a-z 0-9 - _")]
pub struct BadInstance;

impl Instance {
    /// An instance with this id.
    pub fn new(id: &str) -> Result<Self, BadInstance> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            return Err(BadInstance);
        }
        let run = Uuid::new_v4().simple().to_string();
        let run = format!("{id}:{}.", &run[..8]);
        Ok(Self { id: id.into(), run: run.into(), next: Arc::new(AtomicU64::new(1)) })
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A marker that this run has not given out yet.
    pub fn marker(&self) -> Marker {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Marker { instance: Arc::clone(&self.id), run: Arc::clone(&self.run), number }
    }
}

/// The marker of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marker {
    instance: Arc<str>,
    run: Arc<str>,
    number: u64,
}

impl Marker {
    /// The id of the instance that it belongs to.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How the environment entry of every agent of this run begins.
    pub(super) fn run_entry(&self) -> String {
        format!("{MARKER_VARIABLE}={}", self.run)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.run, self.number)
    }
}

/// Which environments a sweep is for.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// Exactly this entry of the environment.
    Agent(String),
    /// Every entry that begins so: a run, or all runs of an instance.
    Prefix(String),
}

impl Scope {
    pub(super) fn agent(marker: &Marker) -> Self {
        Self::Agent(format!("{MARKER_VARIABLE}={marker}"))
    }

    pub(super) fn instance(instance: &Instance) -> Self {
        Self::Prefix(format!("{MARKER_VARIABLE}={}:", instance.id))
    }

    /// Whether a `/proc/PID/environ` (entries that end with NUL) is in scope.
    pub(super) fn covers(&self, environ: &[u8]) -> bool {
        environ.split(|byte| *byte == 0).any(|entry| match self {
            Self::Agent(exact) => entry == exact.as_bytes(),
            Self::Prefix(prefix) => entry.starts_with(prefix.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_count_up_and_cover_only_their_own() {
        let instance = Instance::new("a-1").unwrap();
        let (one, two) = (instance.marker(), instance.clone().marker());
        assert!(one.to_string().starts_with("a-1:") && one.to_string().ends_with(".1"), "{one}");
        assert!(two.to_string().ends_with(".2"), "{two}");
        let environ = format!("PATH=/bin\0CLAUDE_WS_AGENT={two}\0X=\0").into_bytes();
        assert!(!Scope::agent(&one).covers(&environ));
        assert!(Scope::agent(&two).covers(&environ));
        assert!(Scope::instance(&instance).covers(&environ));
        assert!(Scope::Prefix(two.run_entry()).covers(&environ));
        let next_run = Instance::new("a-1").unwrap();
        assert!(Scope::instance(&next_run).covers(&environ));
        assert!(!Scope::Prefix(next_run.marker().run_entry()).covers(&environ));
    }

    #[test]
    fn markers_that_only_look_alike_are_not_covered() {
        let instance = Instance::new("a").unwrap();
        let scope = Scope::instance(&instance);
        for other in
            ["CLAUDE_WS_AGENT=ab:1", "XCLAUDE_WS_AGENT=a:1", "X=CLAUDE_WS_AGENT=a:1", "CLAUDE_WS_AGENT=a"]
        {
            assert!(!scope.covers(format!("{other}\0").as_bytes()), "{other}");
        }
        let one = instance.marker();
        assert!(!Scope::agent(&one).covers(format!("CLAUDE_WS_AGENT={one}1\0").as_bytes()));
    }

    #[test]
    fn an_instance_id_is_plain() {
        for bad in ["", "a:b", "a b", "ä", &"x".repeat(65)] {
            assert!(Instance::new(bad).is_err(), "{bad}");
        }
    }
}
