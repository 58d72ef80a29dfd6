//! The agent: answers the greeting, and a message `load:…` with pre-encoded lines at a rate.
//!
//! - `load:deltas:COUNT:RATE:NUMBER` – so many text deltas of 255 bytes a second (0: as fast as the pipe takes them), from the emitter of
//!   that number, on which depends when it begins: as independent agents do, and alike for all servers;
//! - `load:big:BYTES:COUNT:MILLIS` – so many tool results of that size, one every so many milliseconds.
//!
//! Each delta's text begins with `@@` and the nanoseconds of its writing.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Marks the time in a delta.
pub(crate) const MARK: &[u8] = b"@@";
/// Digits after it.
pub(crate) const DIGITS: usize = 19;
/// A line of Claude Code with its line end.
const LINE: usize = 256;
/// Lines a write, flat out.
const BATCH: usize = 64;

const BEFORE: &str = "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"@@";
const AFTER: &str = "\"}},\"session_id\":\"1abe46dc-1648-4ca8-9c76-9c4c93fb4683\",\"parent_tool_use_id\":null,\"uuid\":\"211614a4-79b6-49d2-a5d2-e273\"}\n";

pub(crate) fn main() -> Result<(), String> {
    if let Some(cpu) = std::env::var("LOAD_EMITTER_CPU").ok().and_then(|cpu| cpu.parse().ok()) {
        crate::process::pin(cpu)?;
    }
    let owned = io::stdout().as_fd().try_clone_to_owned().map_err(|problem| problem.to_string())?;
    let mut out = File::from(owned);
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|problem| problem.to_string())?;
        // A reader that is gone is the end.
        if answer(&line, &mut out).is_err() {
            break;
        }
    }
    Ok(())
}

fn answer(line: &str, out: &mut File) -> io::Result<()> {
    if let Some((_, order)) = line.split_once("load:") {
        let order = order.split(['"', '\\']).next().unwrap_or_default();
        return turn(&order.split(':').collect::<Vec<_>>(), out);
    }
    if let Some((_, rest)) = line.split_once("\"request_id\":\"") {
        let id = rest.split('"').next().unwrap_or_default();
        writeln!(
            out,
            "{{\"type\":\"control_response\",\"response\":{{\"subtype\":\"success\",\"request_id\":\"{id}\",\"response\":{{}}}}}}"
        )?;
    }
    Ok(())
}

fn turn(order: &[&str], out: &mut File) -> io::Result<()> {
    let number = |at: usize| order.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    out.write_all(
        concat!(
            r#"{"type":"system","subtype":"init","cwd":"/","tools":["Bash"],"mcp_servers":[],"model":"load","permissionMode":"default","slash_commands":[],"claude_code_version":"2.1.330"}"#,
            "\n"
        )
        .as_bytes(),
    )?;
    match order.first() {
        Some(&"deltas") => {
            event(
                out,
                r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"load","content":[],"usage":{}}}"#,
            )?;
            event(
                out,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            )?;
            match number(2) {
                0 => flat_out(out, number(1))?,
                rate => paced(out, number(1), rate, number(3))?,
            }
            event(out, r#"{"type":"content_block_stop","index":0}"#)?;
            event(
                out,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
            )?;
            event(out, r#"{"type":"message_stop"}"#)?;
        }
        Some(&"big") => big(out, number(1), number(2), Duration::from_millis(number(3)))?,
        _ => {}
    }
    out.write_all(
        concat!(
            r#"{"type":"result","subtype":"success","is_error":false,"duration_ms":1,"duration_api_ms":1,"num_turns":1,"result":"","total_cost_usd":0.0}"#,
            "\n"
        )
        .as_bytes(),
    )
}

fn event(out: &mut File, event: &str) -> io::Result<()> {
    writeln!(
        out,
        "{{\"type\":\"stream_event\",\"event\":{event},\"session_id\":\"1abe46dc-1648-4ca8-9c76-9c4c93fb4683\",\"parent_tool_use_id\":null,\"uuid\":\"211614a4-79b6-49d2-a5d2-e273de90890d\"}}"
    )
}

fn delta_line() -> Vec<u8> {
    let text = LINE - BEFORE.len() - AFTER.len();
    let mut line = Vec::from(BEFORE);
    line.extend("0".repeat(DIGITS).bytes());
    line.extend("a text delta of usual size ".bytes().cycle().take(text - DIGITS));
    line.extend(AFTER.bytes());
    line
}

fn stamp(line: &mut [u8], nanos: u128) {
    let digits = format!("{nanos:0DIGITS$}");
    line[BEFORE.len()..BEFORE.len() + DIGITS].copy_from_slice(digits.as_bytes());
}

/// Nanoseconds of the clock that all processes share.
pub(crate) fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

fn paced(out: &mut File, count: u64, rate: u64, emitter: u64) -> io::Result<()> {
    let mut line = delta_line();
    let nanos_each = 1_000_000_000 / rate;
    let step = Duration::from_nanos(nanos_each);
    // By the clock that all share, at the emitter's own moment of the step.
    let into_step = u64::try_from(nanos() % u128::from(nanos_each)).unwrap_or(0);
    let start =
        Instant::now() + Duration::from_nanos(nanos_each - into_step + scattered(emitter) % nanos_each);
    for number in 0..count {
        let due = start + step * u32::try_from(number).unwrap_or(u32::MAX);
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        stamp(&mut line, nanos());
        out.write_all(&line)?;
    }
    Ok(())
}

/// A number that looks like chance, the same in each run (the finalizer of SplitMix64).
fn scattered(number: u64) -> u64 {
    let mut mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn flat_out(out: &mut File, count: u64) -> io::Result<()> {
    let mut lines = delta_line().repeat(BATCH);
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    while left > 0 {
        let batch = left.min(BATCH);
        let now = nanos();
        lines.chunks_mut(LINE).for_each(|line| stamp(line, now));
        out.write_all(&lines[..batch * LINE])?;
        left -= batch;
    }
    Ok(())
}

fn big(out: &mut File, bytes: u64, count: u64, every: Duration) -> io::Result<()> {
    let text = "a line of a long listing, as tools print them\\n".bytes().cycle();
    let text: Vec<u8> = text.take(usize::try_from(bytes).unwrap_or(0) / 47 * 47).collect();
    let mut line = Vec::from(&br#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":""#[..]);
    line.extend(text);
    line.extend(br#"","is_error":false}]},"parent_tool_use_id":null,"session_id":"1abe46dc-1648-4ca8-9c76-9c4c93fb4683"}"#);
    line.push(b'\n');
    crate::process::step_back();
    for _ in 0..count {
        std::thread::sleep(every);
        out.write_all(&line)?;
    }
    Ok(())
}
