//! What is shown of a session: `session_info`, the list's entry, the record.

use super::{Closing, Life, SessionState};
use crate::agent::wire;
use crate::log::Verdict;
use crate::metrics::Metrics;
use crate::protocol::{
    AgentInfo, AgentState, Json, Liveness, Replay, ServerInfo, SessionConfig, SessionInfo, SessionSummary,
};
use crate::session::record::{Record, RunningTurn, Unfinished};

/// What the log says at the instant of a `session_info`.
#[derive(Debug, Clone)]
pub struct Snapshot<'a> {
    /// The log's epoch.
    pub epoch: &'a str,
    /// Oldest event that can be replayed.
    pub first_seq: u64,
    /// Newest event.
    pub last_seq: u64,
    /// The verdict on the replay.
    pub verdict: Verdict,
    /// Whether this very message made the session.
    pub created: bool,
}

impl SessionState {
    /// The body of `session_info`.
    pub fn session_info(&self, at: &Snapshot<'_>, server: &ServerInfo) -> SessionInfo<'_> {
        SessionInfo {
            status: self.liveness(),
            state: self.status,
            created: at.created,
            cwd: self.config.cwd.as_deref().unwrap_or_default().into(),
            model: self.config.model.as_deref().or(self.model_in_use.as_deref()).map(Into::into),
            effort: self.config.effort,
            permission_mode: self.config.permission_mode,
            metadata: self.config.metadata.clone(),
            num_turns: self.num_turns,
            total_cost_usd: self.cost.total(),
            created_at: self.created_at,
            epoch: at.epoch.to_owned().into(),
            first_seq: at.first_seq,
            last_seq: at.last_seq,
            replay: match at.verdict {
                Verdict::None => Replay::None,
                Verdict::Ok => Replay::Ok,
                Verdict::Gap => Replay::Gap,
                Verdict::Reset => Replay::Reset,
            },
            pending_permissions: self.prompts.frames().cloned().collect(),
            pending_elicitations: self.elicitations.frames().cloned().collect(),
            queued: self.queue.iter().map(|queued| queued.id.as_str().into()).collect(),
            tasks: self.tasks.running().cloned().collect(),
            agent: AgentInfo { state: self.agent.state(), ..self.info.clone() },
            server: server.clone(),
        }
    }

    /// The session's entry in `session_list`.
    pub fn summary(&self) -> SessionSummary {
        SessionSummary {
            session_id: self.id.to_string(),
            status: self.liveness(),
            state: self.status,
            cwd: self.config.cwd.clone().unwrap_or_default(),
            created_at: self.created_at,
            last_active_at: self.last_active_at,
            num_turns: self.num_turns,
            total_cost_usd: self.cost.total(),
            metadata: self.config.metadata.clone(),
            pending_permissions: self.prompts.len() as u64,
            tasks: self.tasks.len() as u64,
        }
    }

    /// State of the agent, and when the oldest open prompt was asked (Unix milliseconds).
    pub fn vitals(&self) -> (AgentState, Option<u64>) {
        (self.agent.state(), self.prompts.oldest())
    }

    /// Gives metrics what they want to know, and tells whether the last start of an agent went well, if there was one.
    pub fn report(&mut self, metrics: &Metrics) -> Option<bool> {
        for kind in self.converter.take_unknown() {
            self.journal.tally().unknown(kind);
        }
        self.journal.tally().report(metrics)
    }

    /// Everything that is kept of the session; of one that is over, only what lists show.
    pub fn record(&self) -> Record {
        if self.has_ended() {
            return self.last_record();
        }
        let unfinished = self.unfinished();
        Record {
            config: self.config.clone(),
            rules: self.rules.clone(),
            always: self.prompts.always(),
            conversation: self.agent.conversation.id,
            conversation_started: self.agent.conversation.started,
            note: self.agent.conversation.note.clone(),
            agent: self.info.clone(),
            created_at: self.created_at,
            last_active_at: self.last_active_at,
            num_turns: self.num_turns,
            cost_usd: self.cost.total(),
            books: self.cost.books(),
            broken: self.broken.clone(),
            clean: matches!(self.life, Life::Closed(_)) && unfinished.is_empty(),
            unfinished,
            schedules: self.tasks.schedules(self.now),
            status: self.status,
            next_id: self.journal.position().next_id,
            last_seq: self.journal.position().last_seq(),
        }
    }

    fn last_record(&self) -> Record {
        Record {
            config: SessionConfig {
                cwd: self.config.cwd.clone(),
                metadata: self.config.metadata.clone(),
                ..SessionConfig::default()
            },
            conversation: self.agent.conversation.id,
            created_at: self.created_at,
            last_active_at: self.last_active_at,
            num_turns: self.num_turns,
            cost_usd: self.cost.total(),
            next_id: self.journal.position().next_id,
            last_seq: self.journal.position().last_seq(),
            ..Record::default()
        }
    }

    fn unfinished(&self) -> Unfinished {
        // A turn that no agent was told of is, for a restart, a message that waits.
        let waiting = self.turn.as_ref().filter(|turn| turn.is_pending() && !turn.is_stopping());
        let waiting = waiting.and_then(|turn| Some((turn.id.as_deref()?, turn.stored_after?)));
        let queued = self.queue.iter().map(|queued| (queued.id.as_str(), queued.after_seq));
        let queued: Vec<_> = waiting.into_iter().chain(queued).collect();
        let running = self.turn.as_ref().filter(|_| waiting.is_none());
        Unfinished {
            turn: running.map(|turn| RunningTurn { id: turn.id.clone() }),
            queued: queued.iter().map(|(id, _)| (*id).to_owned()).collect(),
            first_has_turn: waiting.is_some(),
            queued_after: queued.iter().map(|(_, after_seq)| *after_seq).min().unwrap_or_default(),
            prompts: self.prompts.ids().map(str::to_owned).collect(),
            elicitations: self.elicitations.ids().map(str::to_owned).collect(),
            open: self.journal.open_messages().to_vec(),
            tasks: self.tasks.running().cloned().collect(),
        }
    }

    fn liveness(&self) -> Liveness {
        match self.life {
            Life::Active | Life::Draining { .. } => Liveness::Active,
            Life::Dormant | Life::Closing(Closing::Dormant) | Life::Closed(Closing::Dormant) => {
                Liveness::Dormant
            }
            Life::Closing(_) | Life::Closed(_) => Liveness::Ended,
        }
    }

    /// Brings up to date what changes in a [`summary`](Self::summary).
    pub fn refresh(&self, summary: &mut SessionSummary) {
        summary.status = self.liveness();
        summary.state = self.status;
        summary.last_active_at = self.last_active_at;
        summary.num_turns = self.num_turns;
        summary.total_cost_usd = self.cost.total();
        summary.pending_permissions = self.prompts.len() as u64;
        summary.tasks = self.tasks.len() as u64;
    }
}

impl AgentInfo {
    /// Takes over what the agent says of itself; true if something is new.
    pub(super) fn update(&mut self, init: &wire::Init<'_>) -> bool {
        let own = |raw: wire::Raw<'_>| raw.0.map(|raw| Json::borrowed(raw).into_owned());
        let new = Self {
            state: self.state,
            version: init.claude_code_version.text().map(Into::into),
            tools: own(init.tools),
            mcp_servers: own(init.mcp_servers),
            slash_commands: own(init.slash_commands),
        };
        let changed = new != *self;
        *self = new;
        changed
    }
}
