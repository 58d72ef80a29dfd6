//! The store at process level: files that cannot be used, disks that are full, what is forgotten when.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Lab, wait};

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let lab = Lab::new();
    lab.gateway(&[]).stop();
    lab.database().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(lab.data().join("sessions.db")).unwrap();
    let (code, said) = lab.options(&[]).refused();
    assert_eq!(code, Some(1));
    assert!(said.contains("schema version 99") && said.contains("--data-dir"), "{said}");
    assert_eq!(fs::read(lab.data().join("sessions.db")).unwrap(), before);
}

#[test]
fn a_broken_file_is_refused_and_left_alone() {
    let lab = Lab::new();
    fs::create_dir(lab.data()).unwrap();
    fs::write(lab.data().join("sessions.db"), "no database at all, ".repeat(1000)).unwrap();
    let (code, said) = lab.options(&[]).refused();
    assert_eq!(code, Some(1));
    assert!(said.contains("damaged") && said.contains("Nothing was changed"), "{said}");
    let after = fs::read_to_string(lab.data().join("sessions.db")).unwrap();
    assert_eq!(after, "no database at all, ".repeat(1000));
}

#[test]
fn a_data_directory_has_one_gateway() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let (code, said) = lab.options(&[]).refused();
    assert_eq!(code, Some(1));
    assert!(
        said.contains("in use by another gateway") && said.contains(&gateway.pid().to_string()),
        "{said}"
    );
    gateway.kill();
    // The lock goes with the process, however that ends.
    lab.gateway(&[]).stop();
}

/// The limit on a file's size stands for the disk: nothing can be written, and later it can again.
#[test]
fn a_full_disk_is_said_and_does_not_stop_delivery() {
    let lab = Lab::new();
    let gateway = lab.options(&["--log-window", "65536"]).max_file_kib(600).start();
    let mut client = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    let id = client.say("!deltas 20000 200; text end");
    client.answer(&id, "result");
    let warning = client.events.iter().find(|event| event["type"] == "warning").cloned();
    let warning = warning.unwrap_or_else(|| client.expect("warning"));
    assert_eq!(warning["code"], "store_unavailable");
    assert!(gateway.log().contains("cannot be written"), "{}", gateway.log());
    assert_eq!(client.text(&id).len(), 20_000 * 200 + 3, "everything was delivered");
    assert_eq!(client.turn("hello")["subtype"], "success", "and still is");

    let pid = gateway.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap().success());
    gateway.wait_for_log("can be written again");
    let last = client.events.last().unwrap()["seq"].as_u64().unwrap();
    lab.wait_for_commit("s", last);
    let seen = client.events;
    gateway.stop();

    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let info = client.start(json!({"last_seq": 0, "epoch": epoch}));
    assert_eq!(info["replay"], "ok", "nothing was lost while the disk was full");
    while client.events.len() < seen.len() {
        client.next();
    }
    assert_eq!(client.events, seen);
    gateway.stop();
}

/// Somebody writes over the files of a gateway that is at work.
#[test]
fn a_file_that_breaks_under_way_is_said_and_does_not_stop_delivery() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    lab.wait_for_commit("s", client.events.last().unwrap()["seq"].as_u64().unwrap());
    for name in ["sessions.db", "sessions.db-wal", "sessions.db-shm"] {
        let path = lab.data().join(name);
        let garbage = vec![0x5A; usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap()];
        // In place: it is the same file for who has it open.
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &garbage).unwrap();
    }
    assert_eq!(client.turn("and now")["subtype"], "success");
    let warning = client.events.iter().find(|event| event["type"] == "warning").cloned();
    assert_eq!(warning.unwrap_or_else(|| client.expect("warning"))["code"], "store_unavailable");
    assert!(gateway.log().contains("cannot be written"), "{}", gateway.log());
    let mut other = gateway.client();
    assert_eq!(other.start(json!({"last_seq": 0}))["replay"], "ok", "what is in memory is there");
    assert_eq!(client.turn("still")["subtype"], "success");
    gateway.kill();
}

#[test]
fn a_store_that_does_not_answer_is_no_unknown_session() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let mut ask = |kind: &str| {
        let id = client.send(json!({"type": kind, "session_id": "nobody"}));
        client.answer(&id, "error")["code"].clone()
    };
    let database = lab.database();
    database.execute_batch("ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    for kind in ["session_info", "interrupt", "session_end"] {
        assert_eq!(ask(kind), "internal", "{kind}");
    }
    database.execute_batch("ALTER TABLE elsewhere RENAME TO sessions").unwrap();
    assert_eq!(ask("session_info"), "unknown_session");
    gateway.stop();
}

fn sessions_with_turns(client: &mut crate::harness::Client, names: &[&str], message: &str) {
    for session in names {
        client.start(json!({"session_id": session}));
        let id = client.send(json!({"type": "user_message", "session_id": session, "content": message}));
        client.answer(&id, "result");
    }
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    let mut ids: Vec<_> = sessions.iter().map(|session| session["session_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn retention_forgets_dormant_sessions() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    sessions_with_turns(&mut gateway.client(), &["a", "b"], "hello");
    gateway.stop();
    let gateway = lab.gateway(&[]);
    assert_eq!(ids(&gateway.client().list()), ["a", "b"], "kept for --retention");
    gateway.stop();
    let gateway = lab.gateway(&["--retention", "1ms"]);
    let mut client = gateway.client();
    wait("both to be forgotten", || match client.list() {
        list if list.is_empty() => Ok(()),
        list => Err(format!("{list:?}")),
    });
    assert_eq!(client.start(json!({"session_id": "a"}))["created"], true);
    gateway.stop();
}

/// All that had been said was deleted by a clock that was a month ahead at the start.
#[test]
fn a_clock_that_leaps_deletes_nothing_at_once() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    sessions_with_turns(&mut gateway.client(), &["recent", "old"], "hello");
    gateway.stop();
    // As if all this had been 40 days ago, and `old` 40 days before that.
    let database = lab.database();
    let days = |days: i64| days * 24 * 60 * 60 * 1000;
    let back = |sql: &str, days: i64| assert_eq!(database.execute(sql, [days]).unwrap(), 1, "{sql}");
    back("UPDATE meta SET value = value - ?1 WHERE name = 'clock'", days(40));
    back("UPDATE meta SET value = value - ?1 WHERE name = 'clock_mark'", days(40));
    back("UPDATE sessions SET last_active_at = last_active_at - ?1 WHERE id = 'recent'", days(40));
    back("UPDATE sessions SET last_active_at = last_active_at - ?1 WHERE id = 'old'", days(80));
    for _ in 0..2 {
        let gateway = lab.gateway(&["--retention", "30d"]);
        gateway.wait_for_log("the clock is 40 days ahead");
        let mut client = gateway.client();
        wait("what was old before", || match client.list() {
            list if ids(&list) == ["recent"] => Ok(()),
            list => Err(format!("{list:?}")),
        });
        gateway.stop();
    }
    // A clock that is right, or was for as long as that, is believed.
    back("UPDATE meta SET value = value + ?1 WHERE name = 'clock'", days(40));
    let gateway = lab.gateway(&["--retention", "30d"]);
    let mut client = gateway.client();
    wait("it to be forgotten", || if client.list().is_empty() { Ok(()) } else { Err(String::new()) });
    gateway.stop();
}

/// In its record such a session is still at work.
#[test]
fn retention_forgets_sessions_of_a_killed_gateway() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    sessions_with_turns(&mut client, &["a"], "hello");
    lab.wait_for_commit("a", client.events.last().unwrap()["seq"].as_u64().unwrap());
    gateway.kill();
    let gateway = lab.gateway(&["--retention", "1ms"]);
    let mut client = gateway.client();
    wait("it to be forgotten", || match client.list() {
        list if list.is_empty() => Ok(()),
        list => Err(format!("{list:?}")),
    });
    gateway.stop();
}

#[test]
fn the_stores_size_is_bounded_by_forgetting_the_oldest() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    // Ended ones go first, then the oldest dormant one.
    sessions_with_turns(&mut client, &["old", "mid", "ended", "new"], "!deltas 1500 300");
    client.send(json!({"type": "session_end", "session_id": "ended"}));
    client.expect("session_ended");
    gateway.stop();
    let size = || fs::metadata(lab.data().join("sessions.db")).unwrap().len();
    let before = size();
    let max = before * 6 / 10;
    let gateway = lab.gateway(&["--max-store-bytes", &max.to_string()]);
    let mut client = gateway.client();
    wait("the oldest to be forgotten", || match client.list() {
        list if ids(&list) == ["mid", "new"] => Ok(()),
        list => Err(format!("{list:?}")),
    });
    gateway.stop();
    assert!(size() <= max, "{before} bytes before, {} after, {max} allowed", size());
}

#[test]
fn an_ephemeral_gateway_keeps_nothing() {
    let lab = Lab::new();
    let mut gateway = lab.gateway(&["--ephemeral"]);
    let mut client = gateway.client();
    sessions_with_turns(&mut client, &["s"], "hello");
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(client.expect("session_ended")["reason"], "shutdown");
    assert_eq!(client.closed(), 1001);
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(fs::read_dir(lab.path("home")).unwrap().count(), 0);
    let gateway = lab.gateway(&["--ephemeral"]);
    assert!(gateway.client().list().is_empty());
    gateway.stop();
}
