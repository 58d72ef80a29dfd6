//! Rule 1: replay is exact.

use serde_json::{Value, json};

use crate::harness::{Client, Lab, Server};

on_both_clis![from_every_event_of_a_turn, verdicts, in_the_middle_of_a_turn];

fn events(messages: Vec<Value>) -> Vec<Value> {
    messages.into_iter().filter(|message| message["seq"].is_u64()).collect()
}

/// Everything after `last_seq`, up to the event `last`.
async fn replayed(server: &Server, last_seq: u64, epoch: &Value, last: &Value) -> Vec<Value> {
    let mut client = server.connect().await;
    let info = client.start(json!({"last_seq": last_seq, "epoch": epoch})).await;
    assert_eq!(info["replay"], "ok");
    if last["seq"].as_u64() > Some(last_seq) {
        client.until("the last event", |message| message["seq"] == last["seq"]).await;
    }
    let events = events(client.got());
    client.vanish().await;
    events
}

async fn from_every_event_of_a_turn(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.connect().await;
    let epoch = client.start(json!({})).await["epoch"].clone();
    let id = client.say("steps").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
    client.status("idle").await;
    let undisturbed = events(client.got());
    let last = undisturbed.last().unwrap();
    assert!(undisturbed.len() > 20);
    for (index, event) in undisturbed.iter().enumerate() {
        let rest = replayed(&server, event["seq"].as_u64().unwrap(), &epoch, last).await;
        let stitched = [&undisturbed[..=index], &rest].concat();
        assert_eq!(stitched, undisturbed, "reconnected after event {index}");
    }
    assert_eq!(replayed(&server, 0, &epoch, last).await, undisturbed);
    assert_eq!(
        replayed(&server, 0, &Value::Null, last).await,
        undisturbed,
        "an absent epoch is taken to match"
    );
}

async fn verdicts(lab: &Lab) {
    // A small window, and nothing stored: old events go.
    let server = lab.server_with(|config| config.limits.log_window = 16 << 10).await;
    let mut client = server.connect().await;
    let info = client.start(json!({})).await;
    assert_eq!((&info["replay"], &info["last_seq"]), (&json!("none"), &json!(0)));
    let epoch = info["epoch"].clone();
    client.turn("hello").await.succeeded();
    client.turn("count 800").await.succeeded();
    client.status("idle").await;
    let all = events(client.got());
    let last = all.last().unwrap();

    let mut late = server.connect().await;
    let info = late.start(json!({"last_seq": 1, "epoch": epoch})).await;
    assert_eq!(info["replay"], "gap");
    let first = info["first_seq"].as_u64().unwrap();
    assert!(first > 2);
    // What is kept comes from there on; that it is what the first client saw, the transcripts' check tells.
    late.until("the last event", |message| message["seq"] == last["seq"]).await;
    assert_eq!(events(late.got())[0]["seq"], first);

    let mut stranger = server.connect().await;
    let info = stranger.start(json!({"last_seq": 3, "epoch": "another"})).await;
    assert_eq!(info["replay"], "reset");
    stranger.until("the last event", |message| message["seq"] == last["seq"]).await;
    assert_eq!(events(stranger.got()), events(late.got()), "all that is kept");

    let mut live = server.connect().await;
    assert_eq!(live.start(json!({})).await["replay"], "none");
    live.turn("echo live").await.succeeded();
    assert!(events(live.got()).iter().all(|event| event["seq"].as_u64() > last["seq"].as_u64()));
}

/// A client that leaves again and again while the agent speaks misses nothing.
async fn in_the_middle_of_a_turn(lab: &Lab) {
    let server = lab.server().await;
    let mut witness = server.connect().await;
    let epoch = witness.start(json!({})).await["epoch"].clone();
    let text = "a long text that takes many small deltas, ".repeat(12);
    let id = witness.say(format!("echo {text}")).await;
    let mut stitched: Vec<Value> = Vec::new();
    let is_last = |event: &Value| event["type"] == "result" && event["request_id"] == *id;
    while !stitched.last().is_some_and(is_last) {
        let mut client: Client = server.connect().await;
        let last_seq = stitched.last().map_or(0, |event| event["seq"].as_u64().unwrap());
        client.start(json!({"last_seq": last_seq, "epoch": epoch})).await;
        // What came when the connection broke; not more than a client can have handled.
        for _ in 0..5 {
            let event = client.until("an event", |message| message["seq"].is_u64()).await;
            stitched.push(event);
            if stitched.last().is_some_and(is_last) {
                break;
            }
        }
        client.vanish().await;
    }
    assert_eq!(witness.finish(&id).await.succeeded().text(), text);
    let seen = events(witness.got());
    assert_eq!(stitched, seen[..stitched.len()]);
}
