//! Disks that are full when it matters, and files that are taken away.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Lab, wait};

/// A file system of so many KiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(dir: &Path, kib: u32) -> Self {
        fs::create_dir(dir).unwrap();
        let size = format!("size={kib}k,mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small"]).arg(dir).status();
        assert!(mounted.unwrap().success(), "this test mounts something: it needs root");
        Self(dir.to_owned())
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Not a byte is left.
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn wait_for_status(gateway: &Gateway, status: u16) {
    wait("the status", || match gateway.http("/readyz", &[]) {
        (now, _) if now == status => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A tool of the front end: the agent is told of it by a private file.
fn with_tool(session: &str) -> Value {
    let tool = json!({"name": "look", "description": "d", "input_schema": {"type": "object"}});
    json!({"session_id": session, "client_tools": [tool]})
}

/// No agent started, as its private file found no room, and a gateway that was killed did not start again.
#[test]
fn a_full_disk_keeps_no_agent_and_no_gateway_from_starting() {
    let lab = Lab::new();
    let disk = SmallDisk::mount(&lab.data(), 6 << 10);
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let epoch = client.start(with_tool("s"))["epoch"].clone();
    assert_eq!(client.turn("hello")["subtype"], "success");
    lab.wait_for_commit("s", client.events.last().unwrap()["seq"].as_u64().unwrap());
    let before = client.events.clone();

    disk.fill();
    let mut other = gateway.client();
    other.start(with_tool("t"));
    let id = other.send(json!({"type": "user_message", "session_id": "t", "content": "!file mcp-config"}));
    assert_eq!(other.answer(&id, "result")["subtype"], "success");
    assert!(other.text(&id).contains("mcpServers"), "{}", other.text(&id));
    disk.fill();
    wait_for_status(&gateway, 503);
    gateway.kill();
    lab.wait_for_no_processes();

    // What is stored is there, and sessions go on.
    disk.fill();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    assert!(client.list().iter().any(|session| session["session_id"] == "s"));
    assert_eq!(client.start(json!({"last_seq": 0, "epoch": epoch}))["replay"], "ok");
    assert_eq!(client.turn("again")["subtype"], "success");
    assert_eq!(client.events[..before.len()], before);

    disk.empty();
    wait_for_status(&gateway, 200);
    all_is_stored(&lab, client, gateway, &epoch);
    drop(disk);
}

/// There is room again: what was said meanwhile is stored too.
fn all_is_stored(lab: &Lab, client: Client, gateway: Gateway, epoch: &Value) {
    let seen = client.events;
    lab.wait_for_commit("s", seen.last().unwrap()["seq"].as_u64().unwrap());
    gateway.stop();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    assert_eq!(client.start(json!({"last_seq": 0, "epoch": epoch}))["replay"], "ok");
    while client.events.len() < seen.len() {
        client.next();
    }
    assert_eq!(client.events, seen);
    gateway.stop();
}

/// Not even that the file is in use can be noted there: the limit on a file's size is below what it has already.
#[test]
fn a_gateway_that_can_write_nothing_starts_with_what_is_stored() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    assert_eq!(client.turn("!deltas 500 200; text end")["subtype"], "success");
    let last = client.events.last().unwrap()["seq"].as_u64().unwrap();
    lab.wait_for_commit("s", last);
    let before = client.events;
    gateway.kill();
    lab.wait_for_no_processes();

    let mut told = Vec::new();
    for round in 0..2 {
        let gateway = lab.options(&[]).max_file_kib(40).start();
        assert!(gateway.log().contains("What is stored can be read"), "{}", gateway.log());
        wait_for_status(&gateway, 503);
        let mut client = gateway.client();
        assert_eq!(client.start(json!({"last_seq": 0, "epoch": epoch}))["replay"], "ok");
        assert_eq!(client.turn("again")["subtype"], "success");
        assert_eq!(client.events[..before.len()], before);
        // No number is used twice, though nothing could be noted of the first ones.
        let seqs = client.events.iter().map(|event| event["seq"].as_u64().unwrap());
        let new: Vec<_> = seqs.filter(|seq| *seq > last + 1000).collect();
        assert!(!new.is_empty() && new.iter().all(|seq| !told.contains(seq)), "{new:?}");
        told.extend(new);
        if round == 0 {
            gateway.kill();
            lab.wait_for_no_processes();
            continue;
        }
        let pid = gateway.pid().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
        assert!(lifted.unwrap().success());
        gateway.wait_for_log("can be written again");
        wait_for_status(&gateway, 200);
        all_is_stored(&lab, client, gateway, &epoch);
    }
}

/// It went on writing into a file that nobody would ever see again, and another gateway took the directory.
#[test]
fn files_that_are_taken_away_are_missed_and_the_directory_stays_locked() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    wait_for_status(&gateway, 200);

    // Replaced by a copy of itself, and put back.
    let file = lab.data().join("sessions.db");
    fs::rename(&file, lab.path("away.db")).unwrap();
    fs::copy(lab.path("away.db"), &file).unwrap();
    let begin = std::time::Instant::now();
    wait_for_status(&gateway, 503);
    println!("noticed after {:?}", begin.elapsed());
    gateway.wait_for_log("was replaced under this gateway");
    assert_eq!(client.turn("meanwhile")["subtype"], "success");
    fs::rename(lab.path("away.db"), &file).unwrap();
    wait_for_status(&gateway, 200);
    lab.wait_for_commit("s", client.events.last().unwrap()["seq"].as_u64().unwrap());

    // All of it deleted, the file with the lock too.
    for entry in fs::read_dir(lab.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    wait_for_status(&gateway, 503);
    gateway.wait_for_log("was deleted under this gateway");
    let (code, said) = lab.options(&[]).refused();
    assert_eq!(code, Some(1));
    assert!(said.contains("in use by another gateway"), "{said}");
    assert_eq!(client.turn("still")["subtype"], "success");
    gateway.kill();
}
