//! What is kept of a session.

use crate::protocol::MessageId;
use crate::session::record::fingerprint;
use crate::session::{OpenMessage, Record, RunningTurn, Seen, Unfinished};

#[test]
fn the_newest_ids_are_remembered_and_the_oldest_forgotten() {
    let mut seen = Seen::default();
    for number in 0..=Seen::KEPT {
        assert!(seen.insert(&number.to_string()));
    }
    assert!(!seen.contains("0"));
    assert!(seen.contains("1") && !seen.insert("1"));
    assert!(seen.insert("0"), "forgotten ids are new");
    assert!(!seen.contains("1"));
}

#[test]
fn equal_values_have_one_fingerprint() {
    let one = fingerprint(r#"{"a": 1, "b": {"c": [1, 2], "d": "x"}}"#);
    assert_eq!(one, fingerprint(r#"{"b":{"d":"x","c":[1,2]},"a":1}"#));
    assert_ne!(one, fingerprint(r#"{"b":{"d":"x","c":[2,1]},"a":1}"#));
    assert_eq!(one.len(), 64);
    assert_ne!(fingerprint("not json"), fingerprint("not json either"));
}

#[test]
fn a_record_comes_back_as_it_was() {
    for id in [None, Some("m".to_owned())] {
        let unfinished = Unfinished {
            turn: Some(RunningTurn { id }),
            first_has_turn: false,
            queued: vec!["a".to_owned()],
            queued_after: 7,
            prompts: vec!["msg-1".to_owned()],
            elicitations: vec!["msg-2".to_owned()],
            open: vec![OpenMessage { id: MessageId(3), parent_tool_use_id: Some("t".to_owned()) }],
            tasks: Vec::new(),
        };
        let record = Record { unfinished: unfinished.clone(), last_seq: 9, ..Record::default() };
        let text = serde_json::to_string(&record).unwrap();
        let back: Record = serde_json::from_str(&text).unwrap();
        // A turn that the agent began has no id, and is a turn all the same.
        assert_eq!(back.unfinished, unfinished);
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
    // One of an older version, and one with more in it.
    let record: Record = serde_json::from_str(r#"{"num_turns":3,"tomorrow":true}"#).unwrap();
    assert_eq!(record.num_turns, 3);
}
