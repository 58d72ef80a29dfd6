//! Mounts that do not answer, as that of a file server which is gone.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Client, Lab, wait};

/// A FUSE mount whose server never answers: whoever looks into it hangs until this is dropped.
struct Dead {
    server: Child,
    dir: PathBuf,
}

impl Dead {
    fn mount(dir: &Path) -> Self {
        // Bash itself is the server: it has the device open, and reads its stdin instead.
        let script = "exec 3<>/dev/fuse && mount -i -t fuse \
            -o fd=3,rootmode=40000,user_id=0,group_id=0 dead \"$0\" && echo mounted && read -r _";
        let mut command = Command::new("bash");
        command.args(["-c", script]).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "mounted\n", "this test mounts something: it needs root and /dev/fuse");
        Self { server, dir: dir.to_owned() }
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        // Who hangs gets an error from now on.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}

fn note(gateway: &crate::harness::Gateway) -> Value {
    let body = gateway.body("/readyz");
    serde_json::from_str::<Value>(&body).unwrap_or_else(|_| panic!("{body}"))["note"].clone()
}

/// One dead mount stopped every start of an agent, took every look-up's place, and had dormant sessions wait for one another.
#[test]
fn a_dead_mount_holds_up_nobody_else() {
    let lab = Lab::new();
    let path = |name: &str| lab.path("work").join(name).to_str().unwrap().to_owned();
    for name in ["mount", "fine"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    for session in ["old-1", "old-2", "old-3"] {
        client.start(json!({"session_id": session, "cwd": path("mount")}));
    }
    client.start(json!({"session_id": "fine", "cwd": path("fine")}));
    let id = client.send(json!({"type": "user_message", "session_id": "fine", "content": "hello"}));
    client.answer(&id, "result");
    gateway.stop();

    let gateway = lab.gateway(&[]);
    let mut live = gateway.client();
    live.start(json!({"session_id": "live", "cwd": path("mount")}));
    let id = live.send(json!({"type": "user_message", "session_id": "live", "content": "!crash 3"}));
    live.answer(&id, "result");
    let dead = Dead::mount(Path::new(&path("mount")));
    // New sessions there by many names, sessions that wake up there, and one whose agent is to be started there.
    let ask = |client: &mut Client, name: &str| {
        client
            .send(json!({"type": "session_start", "session_id": name, "cwd": path(&format!("mount/{name}"))}))
    };
    let mut hanging: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for (n, client) in hanging.iter_mut().enumerate() {
        ask(client, &format!("new-{n}"));
    }
    for session in ["old-1", "old-2", "old-3"] {
        let mut client = gateway.client();
        client.send(json!({"type": "session_start", "session_id": session}));
        hanging.push(client);
    }
    let unstarted = live.send(json!({"type": "user_message", "session_id": "live", "content": "hello"}));

    // Meanwhile: one that wakes up, new ones, and their agents.
    let mut client = gateway.client();
    assert_eq!(client.start(json!({"session_id": "fine"}))["created"], false);
    client.start(json!({"session_id": "new", "cwd": path("fine")}));
    for session in ["fine", "new"] {
        let id = client.send(json!({"type": "user_message", "session_id": session, "content": "hello"}));
        assert_eq!(client.answer(&id, "result")["subtype"], "success");
    }
    let said = wait("a note", || note(&gateway).as_str().map(str::to_owned).ok_or_else(String::new));
    assert!(said.contains("not answer") && !said.contains("mount"), "{said}");

    // Who named it is told so.
    for client in &mut hanging {
        let error = client.expect("error");
        assert!(error["message"].as_str().unwrap().contains("does not answer"), "{error}");
    }
    let result = live.answer(&unstarted, "result");
    assert_eq!(result["error_code"], "agent_unavailable");
    assert!(result["error"].as_str().unwrap().contains("does not answer"), "{result}");

    // It comes back; and another one keeps no gateway from its end.
    drop(dead);
    wait("no note", || if note(&gateway).is_null() { Ok(()) } else { Err(String::new()) });
    assert_eq!(client.start(json!({"session_id": "old-1"}))["created"], false);
    let dead = Dead::mount(Path::new(&path("mount")));
    ask(&mut client, "late");
    wait("a note", || if note(&gateway).is_null() { Err(String::new()) } else { Ok(()) });
    gateway.stop();
    drop(dead);
}
