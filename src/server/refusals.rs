//! Who was turned away, and what would let them in: for the operator's log, sparingly.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines that may be written one after the other.
const BURST: u32 = 10;
/// After that, one line in so long: a scanner on the internet must not fill the log.
const EVERY: Duration = Duration::from_secs(10);
/// Characters that are shown of what a client sent.
const SHOWN: usize = 200;

/// The log of refusals of one server.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Allowance>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Allowance { left: BURST, since: Instant::now(), skipped: 0 }))
    }
}

impl Refusals {
    /// Writes that a request of `address` (`None`: through a unix socket) was refused, unless too much was written lately.
    pub(super) fn tell(&self, address: Option<IpAddr>, why: &str) {
        let Some(skipped) = self.0.lock().take(Instant::now()) else { return };
        log::warn!("{}", line(address, why, skipped));
    }
}

fn line(address: Option<IpAddr>, why: &str, skipped: u64) -> String {
    let who = address.map_or_else(|| "the unix socket".to_owned(), |address| address.to_string());
    let more = match skipped {
        0 => String::new(),
        1 => " (1 more was not logged)".to_owned(),
        count => format!(" ({count} more were not logged)"),
    };
    format!("refused a request of {who}: {why}{more}")
}

/// What a client sent, fit for a line of a log.
pub(super) fn quoted(sent: &[u8]) -> String {
    let text = String::from_utf8_lossy(sent);
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// Lines that may be written now.
#[derive(Debug)]
struct Allowance {
    left: u32,
    /// When `left` was last added to.
    since: Instant,
    skipped: u64,
}

impl Allowance {
    /// Takes one; gives how many were not written since the last one that was. `None`: not now.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let earned = now.saturating_duration_since(self.since).as_secs() / EVERY.as_secs();
        if earned > 0 {
            self.left = self.left.saturating_add(u32::try_from(earned).unwrap_or(BURST)).min(BURST);
            self.since = now;
        }
        if self.left == 0 {
            self.skipped = self.skipped.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_instead_of_written() {
        let began = Instant::now();
        let mut allowance = Allowance { left: BURST, since: began, skipped: 0 };
        let written = (0..1_000).filter(|_| allowance.take(began) == Some(0)).count();
        assert_eq!(written, 10);
        assert_eq!(allowance.take(began + EVERY), Some(990));
        assert_eq!(allowance.take(began + EVERY), None);
        let later = began + 1_000 * EVERY;
        assert_eq!(allowance.take(later), Some(1));
        assert_eq!((0..1_000).filter(|_| allowance.take(later).is_some()).count(), 9);
    }

    #[test]
    fn what_a_client_sent_stays_in_its_line() {
        assert_eq!(quoted(b"https://a.example"), "\"https://a.example\"");
        assert_eq!(quoted(b"a\n\x1b[31m\xff"), "\"a\\n\\u{1b}[31m\u{fffd}\"");
        let long = quoted(&[b'x'; 10_000]);
        assert!(long.len() < 300 && long.ends_with("\"…"), "{long}");
    }

    #[test]
    fn who_and_how_many_more() {
        assert_eq!(line(None, "no", 0), "refused a request of the unix socket: no");
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(line(address, "no", 2), "refused a request of 192.0.2.1: no (2 more were not logged)");
    }
}
