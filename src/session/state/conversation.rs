//! Which conversation the agent is in, and what it changes of its own settings: both are read from the agent.
//!
//! `/clear` gives the conversation another id, which `init` and `result` of what follows tell (2.1.330 and later also say
//! `conversation_reset`, with an id that is *not* that one). `/model` and `/effort` are told by nothing but the answer to `get_settings`.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::agent::AgentPhase;
use super::{Asked, Closing, Effect, Life, SessionState};
use crate::agent::{control, wire};
use crate::protocol::{ConversationReset, Effort, EventSink, Json, ResetReason, ServerMessage};
use crate::session::words;

/// The agent's conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    /// As the agent calls it; whatever ends its process, the next one is started with it.
    pub(super) id: Uuid,
    /// Whether the agent has been told anything in it.
    pub(super) started: bool,
    /// What the model is still to be told, with the next message: why a call was refused whose refusal ended the turn. (Claude Code
    /// passes that explanation on to nobody.)
    pub(super) note: Option<String>,
    /// The message that the agent was sent last has it.
    note_is_sent: bool,
}

/// Characters of explanations that wait for the next message; what is longer is cut.
const MAX_NOTE: usize = 16 << 10;

/// Slash commands that change the agent's settings, by the agent's name for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    Model,
    Effort,
    Both,
}

impl Changes {
    /// What this command may have changed; `None`: nothing that the session keeps.
    fn by(command: &str) -> Option<Self> {
        match command {
            "model" => Some(Self::Model),
            "effort" => Some(Self::Effort),
            "config" => Some(Self::Both),
            _ => None,
        }
    }
}

impl Conversation {
    pub(super) fn new(id: Uuid, started: bool, note: Option<String>) -> Self {
        Self { id, started, note, note_is_sent: false }
    }

    /// The agent says which one it is in. True: another one than before.
    fn is_now(&mut self, id: &str) -> bool {
        let Ok(id) = Uuid::parse_str(id) else { return false };
        let changed = id != self.id;
        self.id = id;
        self.started |= changed;
        if changed {
            self.note = None;
        }
        changed
    }

    /// A call of `tool` was refused, and the turn ended with that.
    pub(super) fn owes(&mut self, tool: &str, explanation: &str) {
        let note = self.note.get_or_insert_default();
        if !note.is_empty() {
            note.push('\n');
        }
        let said = words::cut(explanation, MAX_NOTE.saturating_sub(note.len()));
        note.extend(["[The user refused the call of ", tool, " and ended the turn: ", &said, "]"]);
    }

    /// The agent has begun with the message that it was sent.
    pub(super) fn owes_no_more(&mut self) {
        if std::mem::take(&mut self.note_is_sent) {
            self.note = None;
        }
    }

    /// A message's content as the agent gets it, with the note before it, if there is one; none where that is the content as it is.
    pub(super) fn send(&mut self, content: &Json<'static>) -> Option<Json<'static>> {
        let noted = self.with_note(content);
        self.note_is_sent = noted.is_some();
        noted
    }

    /// A message's content with the note before it, if there is one. Slash commands stay what they are.
    fn with_note(&self, content: &Json<'static>) -> Option<Json<'static>> {
        #[derive(Serialize)]
        struct Text<'a> {
            r#type: &'static str,
            text: &'a str,
        }
        let note = Text { r#type: "text", text: self.note.as_deref()? };
        if let Ok(text) = content.to::<String>() {
            let is_command = text.trim_start().starts_with('/');
            return (!is_command)
                .then(|| Json::of(&[note, Text { r#type: "text", text: &text }]).ok())
                .flatten();
        }
        let mut blocks = vec![serde_json::value::to_raw_value(&note).ok()?];
        blocks.extend(content.to::<Vec<Box<RawValue>>>().ok()?);
        Json::of(&blocks).ok()
    }
}

impl SessionState {
    /// `session_id` of an `init` or a `result`.
    pub(super) fn conversation_is(&mut self, session_id: wire::Raw<'_>) {
        // A start that fails ("no such conversation") speaks of one that is nobody's.
        if !matches!(self.agent.phase, AgentPhase::Ready | AgentPhase::Stopping { .. }) {
            return;
        }
        let Some(id) = session_id.text() else { return };
        if self.agent.conversation.is_now(&id) {
            log::info!(
                "session {}: the agent began another conversation, {}",
                self.id,
                self.agent.conversation.id
            );
            self.cost.conversation_changes(self.info.version.as_deref());
            let reset = ConversationReset { reason: ResetReason::Clear };
            self.journal.event(&ServerMessage::ConversationReset(reset));
            // Who was told that the model has forgotten must not find that it knows.
            self.effects.extend([Effect::Persist, Effect::StoreFirst]);
        }
    }

    /// A turn was a slash command that may have changed the agent's settings: what is in force is asked of it.
    pub(super) fn ask_what_applies(&mut self, line: &wire::ResultMessage<'_>) {
        let changes = line.local_command.text().and_then(|command| Changes::by(&command));
        if let Some(changes) = changes.filter(|_| self.agent.is_ready()) {
            let id = self.control_id(Asked::Applied(changes));
            self.tell(control::get_settings(&id));
        }
    }

    /// A session that goes to rest was about to learn what the last command changed: it still does, the next process needs it.
    pub(super) fn learn_before_rest(&mut self, line: &[u8]) {
        let is_due = self.life == Life::Closing(Closing::Dormant)
            && self.asked.values().any(|asked| matches!(asked, Asked::Applied(_)));
        if is_due
            && let Ok(wire::Message::ControlResponse(response)) = wire::parse(line)
            && let Some(Asked::Applied(changes)) = self.asked.remove(&*response.request_id)
            && let Some(applied) = response.applied()
        {
            self.adopt(changes, &applied);
        }
    }

    /// What is in force after such a command is what the next process is started with.
    pub(super) fn adopt(&mut self, changes: Changes, applied: &wire::Applied<'_>) {
        let before = (self.config.model.clone(), self.config.effort);
        if changes != Changes::Effort
            && let Some(model) = applied.model.text().filter(|model| !model.is_empty())
            // One that nobody has chosen stays unchosen.
            && self.config.model.as_deref().or(self.model_in_use.as_deref()) != Some(&*model)
        {
            self.config.model = Some(model.clone().into_owned());
            self.model_in_use = Some(model.into_owned());
        }
        if changes != Changes::Model && (changes == Changes::Effort || self.config.effort.is_some()) {
            self.config.effort = applied.effort.text().as_deref().and_then(Effort::named);
        }
        if before != (self.config.model.clone(), self.config.effort) {
            self.config_changed(None);
            self.effects.push(Effect::Announce);
        }
    }
}
