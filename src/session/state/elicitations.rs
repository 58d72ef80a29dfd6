//! Elicitations: what MCP servers ask people, from asked to answered, each by its own id.
//!
//! They are open like permission prompts. The agent does not say which call of a tool, or whose, is behind one, so it stays until it is
//! answered, the agent takes it back, or a turn is broken off: it ends with no turn that comes to its own end.

use std::time::Instant;

use super::forms::misfit;
use super::{Asker, Effect, SessionState, error};
use crate::agent::{control, wire};
use crate::protocol::{
    Cancelled, ElicitationAction, ElicitationMode, ElicitationRequest, ElicitationResolved,
    ElicitationResponse, ErrorCode, EventSink, Json, ResolvedBy, ServerMessage,
};

/// The open ones, in the order they were asked.
#[derive(Debug, Default)]
pub(super) struct Elicitations(Vec<Elicitation>);

#[derive(Debug)]
struct Elicitation {
    /// The event's id, by which clients answer.
    id: String,
    /// By which the agent is answered.
    agent_id: String,
    mode: ElicitationMode,
    schema: Option<Json<'static>>,
    /// The event as clients got it, for those who attach later.
    frame: Json<'static>,
    deadline: Option<Instant>,
}

impl Elicitations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The open `elicitation_request` messages, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Json<'static>> {
        self.0.iter().map(|open| &open.frame)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|open| open.id.as_str())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|open| open.deadline).min()
    }

    fn find(&self, id: &str) -> Option<&Elicitation> {
        self.0.iter().find(|open| open.id == id)
    }

    fn take(&mut self, wanted: impl FnMut(&Elicitation) -> bool) -> Option<Elicitation> {
        self.0.iter().position(wanted).map(|at| self.0.remove(at))
    }
}

impl Elicitation {
    /// What is wrong with an answer, for the client.
    fn refuses(&self, answer: &ElicitationResponse) -> Option<String> {
        if answer.action != ElicitationAction::Accept || self.mode == ElicitationMode::Url {
            return None;
        }
        match &answer.content {
            Some(content) => misfit(self.schema.as_ref(), content),
            None => Some("`content` is missing; a form is accepted with what was filled in".to_owned()),
        }
    }
}

impl SessionState {
    /// An MCP server asks, by way of the agent.
    pub(super) fn elicited(&mut self, agent_id: &str, ask: &wire::Elicitation<'_>) {
        let mode = match ask.mode.text().as_deref() {
            None | Some("form") => ElicitationMode::Form,
            Some("url") => ElicitationMode::Url,
            Some(other) => {
                self.journal.tally().unknown(format!("elicitation/{other}"));
                self.tell(control::error_response(agent_id, "the gateway does not know this mode"));
                return;
            }
        };
        let is_stopping = self.turn.as_ref().is_some_and(|turn| turn.is_stopping() && !turn.is_pending());
        if is_stopping || self.elicitations.0.len() >= self.limits.max_prompts {
            log::warn!("session {}: the question of an MCP server was cancelled unseen", self.id);
            self.tell(control::elicitation(agent_id, "cancel", None));
            return;
        }
        let schema = ask.requested_schema.object().filter(|_| mode == ElicitationMode::Form);
        let schema = schema.map(|schema| Json::borrowed(schema).into_owned());
        let request = ElicitationRequest {
            server: ask.mcp_server_name.text().unwrap_or_default(),
            message: ask.message.text().unwrap_or_default(),
            mode,
            schema: schema.clone(),
            url: ask.url.text().filter(|_| mode == ElicitationMode::Url),
            title: ask.title.text().filter(|title| !title.is_empty()),
        };
        let id = self.journal.event(&ServerMessage::ElicitationRequest(request)).to_string();
        let frame = self.journal.last_frame().unwrap_or("{}").to_owned();
        self.elicitations.0.push(Elicitation {
            id,
            agent_id: agent_id.to_owned(),
            mode,
            schema,
            frame: Json::parse(frame).unwrap_or_else(|_| Json::empty_object()),
            deadline: self.limits.permission_timeout.map(|timeout| self.now.instant + timeout),
        });
        self.busy();
        self.effects.push(Effect::Persist);
        self.settle();
    }

    /// `elicitation_response`.
    pub(super) fn elicitation_response(&mut self, asker: &Asker, answer: &ElicitationResponse) {
        let Some(open) = self.elicitations.find(&answer.request_id) else {
            self.reply(asker, unknown_elicitation(&answer.request_id));
            return;
        };
        if let Some(problem) = open.refuses(answer) {
            self.reply(asker, error(ErrorCode::InvalidMessage, problem));
            return;
        }
        let content = answer
            .content
            .as_ref()
            .filter(|_| answer.action == ElicitationAction::Accept && open.mode == ElicitationMode::Form);
        let by = (ResolvedBy::Client, Some(asker.id.as_str()));
        self.end_elicitation(&answer.request_id, answer.action, content, by);
    }

    /// `cancel` of an elicitation. False if there is none of that id.
    pub(super) fn cancel_elicitation(&mut self, asker: &Asker, id: &str) -> bool {
        let by = (ResolvedBy::Client, Some(asker.id.as_str()));
        if !self.end_elicitation(id, ElicitationAction::Cancel, None, by) {
            return false;
        }
        let cancelled = Cancelled { target_id: id.into() };
        self.journal.event_for(Some(&asker.id), &ServerMessage::Cancelled(cancelled));
        true
    }

    /// The agent does not wait for that answer any more.
    pub(super) fn elicitation_withdrawn(&mut self, agent_id: &str) {
        let stopping = self.turn.as_ref().is_some_and(|turn| turn.is_stopping());
        if let Some(open) = self.elicitations.take(|open| open.agent_id == agent_id) {
            let by = if stopping { ResolvedBy::Interrupt } else { ResolvedBy::Agent };
            self.elicitation_resolved(&open.id, ElicitationAction::Cancel, by, None);
            self.prompt_closed();
        }
    }

    /// Nobody will answer any more.
    pub(super) fn close_elicitations(&mut self, by: ResolvedBy) {
        while let Some(id) = self.elicitations.0.first().map(|open| open.id.clone()) {
            self.end_elicitation(&id, ElicitationAction::Cancel, None, (by, None));
        }
    }

    pub(super) fn elicitation_tick(&mut self) {
        let now = self.now.instant;
        let is_due = |open: &&Elicitation| open.deadline.is_some_and(|deadline| deadline <= now);
        while let Some(id) = self.elicitations.0.iter().find(is_due).map(|open| open.id.clone()) {
            self.end_elicitation(&id, ElicitationAction::Cancel, None, (ResolvedBy::Timeout, None));
        }
    }

    /// Answers the agent, and tells everybody. False if none of that id is open.
    fn end_elicitation(
        &mut self,
        id: &str,
        action: ElicitationAction,
        content: Option<&Json<'static>>,
        (by, request_id): (ResolvedBy, Option<&str>),
    ) -> bool {
        let Some(open) = self.elicitations.take(|open| open.id == id) else { return false };
        if self.agent.is_ready() {
            let action = match action {
                ElicitationAction::Accept => "accept",
                ElicitationAction::Decline => "decline",
                ElicitationAction::Cancel => "cancel",
            };
            self.tell(control::elicitation(&open.agent_id, action, content.map(Json::raw)));
        }
        self.elicitation_resolved(&open.id, action, by, request_id);
        self.prompt_closed();
        true
    }

    pub(super) fn elicitation_resolved(
        &mut self,
        id: &str,
        action: ElicitationAction,
        reason: ResolvedBy,
        request_id: Option<&str>,
    ) {
        let resolved = ElicitationResolved { elicitation_id: id.into(), action, reason };
        let resolved = ServerMessage::ElicitationResolved(resolved);
        match request_id {
            Some(_) => self.journal.event_for(request_id, &resolved),
            None => self.journal.event(&resolved),
        };
    }
}

fn unknown_elicitation(id: &str) -> ServerMessage<'static> {
    let text = format!("no open elicitation_request has the id {id:?}; it may have been answered already");
    error(ErrorCode::UnknownRequest, text)
}
