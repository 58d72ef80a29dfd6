//! Sessions of a gateway that was killed: the record, and the log after it.

use serde_json::{Value, json};

use crate::log::{EventLog, Journal};
use crate::protocol::MessageId;
use crate::session::revive::{Revived, revive};
use crate::session::{OpenMessage, Record, RunningTurn, Unfinished};
use crate::store::{DataDir, Entry, SqliteStore, Store};

struct Stored {
    _dir: tempfile::TempDir,
    store: std::sync::Arc<dyn Store>,
    log: std::sync::Arc<EventLog>,
    seq: u64,
    depth: usize,
}

impl Stored {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(DataDir::open(dir.path()).unwrap(), 1 << 20).unwrap();
        let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(store);
        let log = EventLog::new("s".into(), "e".to_owned(), 1 << 20, Some(std::sync::Arc::clone(&store)));
        Self { _dir: dir, store, log, seq: 0, depth: 64 }
    }

    /// Events `msg-N` of these types, each for the message given.
    fn events(&mut self, events: &[(&str, Option<&str>, Value)]) {
        for (kind, request_id, fields) in events {
            self.seq += 1;
            let mut event = json!({"type":kind,"id":format!("msg-{}", self.seq),"seq":self.seq});
            if let Some(request_id) = request_id {
                event["request_id"] = json!(request_id);
            }
            event.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
            let entry = Entry { seq: self.seq, frame: event.to_string().into() };
            self.log.append(&mut vec![entry]);
        }
    }

    fn record(&self, record: Record) {
        let record = Record { last_seq: self.seq, ..record };
        let state = serde_json::to_string(&record).unwrap();
        let record = crate::store::Record { state, ..crate::store::Record::default() };
        self.log.append_with(&mut Vec::new(), Journal { record: Some(record), ..Journal::default() });
    }

    async fn revive(&self) -> Revived {
        self.store.flush().await.unwrap();
        let stored = self.store.sessions().await.unwrap().remove(0);
        assert_eq!(stored.last_seq, self.seq);
        revive(&stored, &*self.store, self.depth).await.unwrap()
    }
}

fn said(text: &str) -> Value {
    json!({"content":text})
}

#[tokio::test]
async fn a_session_at_rest_has_nothing_left_over() {
    let mut stored = Stored::new();
    stored.events(&[("user_message", Some("a"), said("x")), ("result", Some("a"), json!({}))]);
    stored.record(Record { clean: true, next_id: 3, ..Record::default() });
    let revived = stored.revive().await;
    assert!(revived.leftover.is_empty() && !revived.ended);
    assert_eq!(revived.birth.position.next_id, 3);
    assert!(revived.birth.position.next_seq > 2);
}

#[tokio::test]
async fn what_the_record_calls_unfinished_is_left_over_with_its_content_from_the_log() {
    let mut stored = Stored::new();
    stored.events(&[
        ("user_message", Some("a"), said("x")),
        ("user_message", Some("b"), said("y")),
        ("assistant_message_start", Some("a"), json!({})),
    ]);
    let unfinished = Unfinished {
        turn: Some(RunningTurn { id: Some("a".to_owned()) }),
        queued: vec!["b".to_owned(), "lost".to_owned()],
        first_has_turn: false,
        queued_after: 1,
        prompts: vec!["msg-0".to_owned()],
        elicitations: vec!["msg-10".to_owned()],
        open: vec![OpenMessage { id: MessageId(3), parent_tool_use_id: None }],
        tasks: Vec::new(),
    };
    stored.record(Record { unfinished: unfinished.clone(), clean: false, ..Record::default() });
    // Behind the record.
    stored.events(&[
        ("permission_resolved", Some("p"), json!({"permission_id":"msg-0"})),
        ("assistant_message_complete", Some("a"), json!({"id":"msg-3"})),
        ("assistant_message_start", Some("a"), json!({"parent_tool_use_id":"t"})),
        ("permission_request", Some("a"), json!({})),
        ("status_update", None, json!({"status":"waiting_permission"})),
        ("elicitation_request", Some("a"), json!({})),
        ("elicitation_resolved", Some("q"), json!({"elicitation_id":"msg-10"})),
    ]);
    let Revived { leftover, birth, .. } = stored.revive().await;
    assert_eq!(leftover.turn, unfinished.turn);
    assert_eq!(leftover.prompts, ["msg-7"]);
    assert_eq!(leftover.elicitations, ["msg-9"]);
    let open = OpenMessage { id: MessageId(6), parent_tool_use_id: Some("t".to_owned()) };
    assert_eq!(leftover.open, [open]);
    assert_eq!(json!(leftover.status), "waiting_permission");
    let queued: Vec<_> =
        leftover.queued.iter().map(|queued| (queued.id.as_str(), queued.input.is_some())).collect();
    assert_eq!(queued, [("b", true), ("lost", false)]);
    assert!(birth.position.next_id > 1_000_000);
}

#[tokio::test]
async fn a_result_that_the_record_does_not_know_is_not_given_again() {
    let mut stored = Stored::new();
    stored.events(&[("user_message", Some("a"), said("x"))]);
    let turn = Some(RunningTurn { id: Some("a".to_owned()) });
    let unfinished = Unfinished { turn, ..Unfinished::default() };
    stored.record(Record { unfinished, clean: false, ..Record::default() });
    stored.events(&[("result", Some("a"), json!({}))]);
    assert!(stored.revive().await.leftover.is_empty());
}

#[tokio::test]
async fn messages_that_the_record_does_not_know_get_their_result() {
    let mut stored = Stored::new();
    stored.record(Record { clean: false, ..Record::default() });
    stored.events(&[
        ("user_message", Some("a"), said("x")),
        ("user_message", Some("b"), said("y")),
        ("tool_use", Some("a"), json!({})),
    ]);
    let leftover = stored.revive().await.leftover;
    assert_eq!(leftover.turn, Some(RunningTurn { id: Some("a".to_owned()) }));
    assert_eq!(leftover.queued.len(), 1);
    assert_eq!(leftover.queued[0].after_seq, 1);
    assert!(leftover.queued[0].input.is_some());
}

/// It was held to the default instead of `--max-json-depth`: before and after a restart, the agent got different things.
#[tokio::test]
async fn a_message_that_waited_is_read_as_deep_as_when_it_came() {
    let blocks = r#"[{"type":"text","text":"x"}]"#;
    for (depth, content) in [(64, serde_json::from_str(blocks).unwrap()), (1, json!(blocks))] {
        let mut stored = Stored { depth, ..Stored::new() };
        stored.record(Record { clean: false, ..Record::default() });
        stored.events(&[("user_message", Some("a"), said("y")), ("user_message", Some("b"), said(blocks))]);
        let leftover = stored.revive().await.leftover;
        let input = leftover.queued[0].input.as_ref().unwrap();
        assert_eq!(serde_json::from_str::<Value>(input.content.get()).unwrap(), content);
    }
}

#[tokio::test]
async fn a_message_of_which_nothing_was_heard_is_not_run_twice() {
    let mut stored = Stored::new();
    stored.record(Record { clean: false, ..Record::default() });
    stored.events(&[("user_message", Some("a"), said("x"))]);
    let leftover = stored.revive().await.leftover;
    assert_eq!(leftover.turn, Some(RunningTurn { id: Some("a".to_owned()) }));
    assert!(leftover.queued.is_empty());
}

#[tokio::test]
async fn a_resume_of_which_only_the_status_was_heard_gets_its_result() {
    let mut stored = Stored::new();
    stored.record(Record { clean: false, ..Record::default() });
    stored.events(&[("status_update", Some("go on"), json!({"status":"thinking"}))]);
    let leftover = stored.revive().await.leftover;
    assert_eq!(leftover.turn, Some(RunningTurn { id: Some("go on".to_owned()) }));
}

#[tokio::test]
async fn a_session_whose_last_words_are_in_the_log_is_over() {
    let mut stored = Stored::new();
    stored.record(Record { clean: false, ..Record::default() });
    stored.events(&[("session_ended", Some("end"), json!({"reason":"client"}))]);
    let revived = stored.revive().await;
    assert!(revived.ended && revived.leftover.turn.is_none());
}

#[tokio::test]
async fn a_turn_that_no_agent_was_told_of_waits_on() {
    let mut stored = Stored::new();
    stored.events(&[
        ("user_message", Some("a"), said("x")),
        ("status_update", Some("a"), json!({"status":"thinking"})),
        ("user_message", Some("b"), said("y")),
    ]);
    let unfinished = Unfinished {
        queued: vec!["a".to_owned(), "b".to_owned()],
        first_has_turn: true,
        queued_after: 0,
        ..Unfinished::default()
    };
    stored.record(Record { unfinished, clean: false, ..Record::default() });
    // It went on waiting.
    stored.events(&[(
        "status_update",
        Some("a"),
        json!({"status":"thinking","message":"waiting for a slot"}),
    )]);
    let leftover = stored.revive().await.leftover;
    assert_eq!(leftover.turn, None);
    let queued: Vec<_> =
        leftover.queued.iter().map(|left| (left.id.as_str(), left.input.is_some())).collect();
    assert_eq!(queued, [("a", true), ("b", true)]);
    // It was cancelled, and the next one may have been begun.
    stored.events(&[("result", Some("a"), json!({}))]);
    let leftover = stored.revive().await.leftover;
    assert_eq!(leftover.turn, Some(RunningTurn { id: Some("b".to_owned()) }));
    assert!(leftover.queued.is_empty());
}

#[tokio::test]
async fn an_unreadable_record_is_an_error_and_no_default_session() {
    let mut stored = Stored::new();
    stored.events(&[("user_message", Some("a"), said("x"))]);
    let state = r#"{"config":{"permission_mode":"dontAsk"}}"#.to_owned();
    let record = crate::store::Record { state, ..crate::store::Record::default() };
    stored.log.append_with(&mut Vec::new(), Journal { record: Some(record), ..Journal::default() });
    stored.store.flush().await.unwrap();
    let found = stored.store.sessions().await.unwrap().remove(0);
    let Err(error) = revive(&found, &*stored.store, 64).await else { panic!("it was revived") };
    assert!(error.to_string().contains("unreadable"), "{error}");
}
