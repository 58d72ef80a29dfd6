//! What a session says to one connection: replies, `session_info`, and the cursor of an attach.

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::SessionTask;
use crate::log::{Doorbell, From, Verdict};
use crate::protocol::encode::Header;
use crate::protocol::{ErrorCode, ServerMessage};
use crate::session::state::{Asker, ClientId, ReplayFrom, Snapshot, error};

impl SessionTask {
    pub(super) fn reply(&mut self, asker: &Asker, message: &ServerMessage<'_>) {
        if let ServerMessage::Error(error) = message {
            self.shared.metrics.error(error.code.name());
        }
        self.outsiders.answered(asker.client, &asker.id);
        let frame = self.encode(Some(&asker.id), message);
        self.send_reply(asker.client, frame);
    }

    pub(super) fn encode(&mut self, request_id: Option<&str>, message: &ServerMessage<'_>) -> Utf8Bytes {
        let id = self.shared.next_reply_id();
        let header = Header { id: id.as_str().into(), request_id, seq: None, timestamp: None };
        self.replies.encode(&header, message)
    }

    pub(super) fn send_reply(&mut self, client: ClientId, frame: Utf8Bytes) {
        match &mut self.current {
            Some((current, answer)) if *current == client => answer.frames.push(frame),
            _ => {
                if let Some(known) = self.clients.get(&client) {
                    // Full or gone: an answer that comes late is a notice, and the client's next question finds the truth.
                    let _ = known.client.notices.try_send(frame);
                }
            }
        }
    }

    pub(super) fn info(&mut self, asker: &Asker) {
        let frame = self.session_info(Some(&asker.id), Verdict::None, false, None);
        self.send_reply(asker.client, frame);
    }

    /// Its message had its effect, which only those who are attached can see.
    pub(super) fn tell_outsider(&mut self, client: ClientId, id: &str) {
        let frame = self.session_info(Some(id), Verdict::None, false, None);
        self.send_reply(client, frame);
    }

    pub(super) fn attach(&mut self, asker: &Asker, from: &ReplayFrom, created: bool) {
        let from = match from.last_seq {
            Some(_) if from.is_lost => From::Anew,
            Some(seq) => From::After { seq, epoch: from.epoch.as_deref() },
            None => From::Live,
        };
        let max = self.shared.limits.max_attached;
        let Some(known) = self.clients.get_mut(&asker.client) else { return };
        // A connection that attaches again gets another cursor for its old one.
        if !known.attached && self.log.cursors() >= max {
            let text = format!("{max} connections are attached to this session already (--max-attached)");
            self.reply(asker, &error(ErrorCode::Capacity, text));
            return;
        }
        known.attached = true;
        let doorbell: Doorbell = known.client.doorbell.clone();
        // What the state has written so far belongs before the snapshot.
        self.append(&[]);
        let attached = self.log.attach(from, &doorbell);
        let range = Some((attached.first_seq, attached.last_seq));
        let frame = self.session_info(Some(&asker.id), attached.verdict, created, range);
        if let Some((_, answer)) = &mut self.current {
            answer.frames.push(frame);
            answer.cursor = Some(attached.cursor);
        }
    }

    pub(super) fn announce(&mut self) {
        if self.log.cursors() == 0 {
            return;
        }
        let frame = self.session_info(None, Verdict::None, false, None);
        let attached = self.clients.iter().filter(|(_, known)| known.attached);
        let attached: Vec<_> = attached.map(|(client, _)| *client).collect();
        for client in attached {
            // Behind the answer, for the client whose command is being answered.
            self.send_reply(client, frame.clone());
        }
    }

    pub(super) fn session_info(
        &mut self,
        request_id: Option<&str>,
        verdict: Verdict,
        created: bool,
        range: Option<(u64, u64)>,
    ) -> Utf8Bytes {
        let (first_seq, last_seq) = range.unwrap_or_else(|| (self.log.first_seq(), self.log.told_seq()));
        let epoch = self.log.epoch().to_owned();
        let snapshot = Snapshot { epoch: &epoch, first_seq, last_seq, verdict, created };
        let info = self.state.session_info(&snapshot, &self.shared.server);
        let message = ServerMessage::SessionInfo(Box::new(info));
        let id = self.shared.next_reply_id();
        let header = Header { id: id.as_str().into(), request_id, seq: None, timestamp: None };
        self.replies.encode(&header, &message)
    }
}
