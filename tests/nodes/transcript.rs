//! What a client saw over all its connections, held against what the store has.

use serde_json::{Value, json};

use crate::cluster::come_back;
use crate::harness::Gateway;

/// All events of a session as a new client gets them.
pub(crate) fn whole(gateway: &Gateway, session: &str) -> Vec<Value> {
    let (mut client, info) = come_back(gateway, session, &[], &Value::Null);
    let last = info["last_seq"].as_u64().unwrap();
    while client.events.last().is_none_or(|event| event["seq"].as_u64() < Some(last)) {
        client.next();
    }
    client.events
}

/// Holds what was seen, in pieces, against the whole: no event is missing, none came twice, none is another.
pub(crate) fn exact(seen: &[Value], whole: &[Value]) {
    let last = seen.last().map_or(0, |event| event["seq"].as_u64().unwrap());
    let wanted: Vec<_> = whole.iter().filter(|event| event["seq"].as_u64() <= Some(last)).collect();
    for (at, (seen, wanted)) in seen.iter().zip(&wanted).enumerate() {
        assert_eq!(seen, *wanted, "event {at}");
    }
    assert_eq!(seen.len(), wanted.len(), "up to {last}");
}

/// Each message has exactly one result, and seqs rise.
pub(crate) fn orderly(events: &[Value]) {
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    let results = |id: &Value| {
        events.iter().filter(|event| event["type"] == "result" && event["request_id"] == *id).count()
    };
    for said in events.iter().filter(|event| event["type"] == "user_message") {
        assert_eq!(results(&said["request_id"]), 1, "{said}");
    }
}

/// What is the same wherever an answer comes from.
pub(crate) fn plain(mut answer: Value) -> Value {
    for own in ["id", "request_id", "timestamp"] {
        answer[own] = json!(null);
    }
    answer
}
