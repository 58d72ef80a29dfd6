//! What goes into the state machine and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use crate::agent::Exit;
use crate::protocol::{
    ClientToolResult, ConfigUpdateFields, ElicitationResponse, EndReason, PermissionResponse,
    PermissionUpdate, ServerMessage, SessionConfig, StartOptions, UserMessage,
};
use crate::session::client_mcp::ClientMcp;
use crate::session::journal::Position;
use crate::session::record::{Record, Seen};

/// The time of an input, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For people: Unix milliseconds.
    pub unix_ms: u64,
}

/// One connection, as the session knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(pub u64);

/// Who asked, and under which message id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The connection.
    pub client: ClientId,
    /// The `id` of its message.
    pub id: String,
}

/// What a client wants of a session.
#[derive(Debug)]
pub enum Command {
    /// `session_start`, `new_session`: attach.
    Attach(Attach),
    /// `session_info`.
    Info,
    /// `config_query`.
    ConfigQuery,
    /// `session_end`.
    End {
        /// For the log.
        reason: Option<String>,
    },
    /// `user_message`.
    UserMessage(UserMessage),
    /// `permission_response`.
    PermissionResponse(PermissionResponse),
    /// `elicitation_response`.
    ElicitationResponse(ElicitationResponse),
    /// `permission_update`.
    PermissionUpdate(PermissionUpdate),
    /// `tool_result`.
    ToolResult(ClientToolResult),
    /// `interrupt`.
    Interrupt {
        /// For the log.
        reason: Option<String>,
        /// Background tasks too.
        tasks: bool,
    },
    /// `task_stop`.
    TaskStop {
        /// The task.
        task_id: String,
    },
    /// `task_output`.
    TaskOutput {
        /// The task.
        task_id: String,
    },
    /// `background`.
    Background {
        /// The call; none: all.
        tool_use_id: Option<String>,
    },
    /// `resume`.
    Resume,
    /// `cancel`.
    Cancel {
        /// A user message's or a prompt's id.
        target_id: String,
    },
    /// `config_update`.
    ConfigUpdate(ConfigUpdateFields),
}

/// From where a client wants events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayFrom {
    /// The last event that it has; none: live events only.
    pub last_seq: Option<u64>,
    /// The epoch that it came from.
    pub epoch: Option<String>,
    /// That event is none of the log's: it was lost.
    pub is_lost: bool,
}

/// How a client attaches.
#[derive(Debug)]
pub struct Attach {
    /// What to replay.
    pub from: ReplayFrom,
    /// Options that came along, for a session that exists.
    pub options: Option<Box<StartOptions>>,
    /// Whether this very message made the session.
    pub created: bool,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A client wants something.
    Command {
        /// The connection.
        client: ClientId,
        /// The message's `id`.
        id: String,
        /// What it wants.
        command: Command,
    },
    /// What became of [`Effect::AcquireSlot`].
    Slot(SlotOutcome),
    /// Still no slot.
    Waiting {
        /// Sessions that are served before this one.
        ahead: usize,
    },
    /// What became of [`Effect::Spawn`].
    Spawned(Result<(), String>),
    /// Instead: an agent was there that was started by the same plan and has answered the greeting.
    Adopted {
        /// Its conversation's id.
        conversation: Uuid,
    },
    /// The agent wrote a line longer than the limit.
    Skipped {
        /// Its length.
        bytes: u64,
    },
    /// The agent's process is gone, and all that belonged to it.
    Exited(Exit),
    /// The agent takes no more input.
    Unresponsive,
    /// Another session needs the slot.
    Sleep {
        /// It has waited for long, and nobody else can give one: even if it costs this one's background tasks.
        now: bool,
    },
    /// The number of attached connections changed.
    Attached(usize),
    /// The server goes down.
    Drain {
        /// When running turns are interrupted.
        until: Instant,
    },
    /// The store began or ceased to fail.
    StoreHealth {
        /// Whether it works.
        ok: bool,
    },
    /// A deadline has passed.
    Tick,
}

/// What became of the wish for an agent slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOutcome {
    /// There is a place.
    Granted,
    /// Too many sessions wait already (`--max-waiting`).
    Refused,
}

/// Something to do.
#[derive(Debug)]
pub enum Effect {
    /// Answer one connection (a message without `seq`).
    Reply {
        /// Who asked.
        asker: Asker,
        /// The answer.
        message: Box<ServerMessage<'static>>,
    },
    /// Answer `session_info`.
    Info(Asker),
    /// Attach the connection to the log and answer `session_info` with the verdict.
    Attach {
        /// Who asked.
        asker: Asker,
        /// What to replay.
        from: ReplayFrom,
        /// Whether the session is new.
        created: bool,
    },
    /// Tell attached connections what the agent is: `session_info` to each.
    Announce,
    /// Ask for an agent slot.
    AcquireSlot {
        /// Get in line where none is free; otherwise that is a refusal.
        wait: bool,
    },
    /// It takes too long: sessions whose agents have nothing but background tasks are to give theirs.
    Impatient,
    /// Leave that line, or give the slot back.
    ReleaseSlot,
    /// What the agent's slot is used for, for sessions that wait for one.
    Standing(Standing),
    /// Start the agent.
    Spawn(Box<LaunchPlan>),
    /// What is to be stored comes before what follows: no line goes to the agent before.
    Commit,
    /// Write one line to its stdin.
    ToAgent(Bytes),
    /// Stop it.
    StopAgent {
        /// Without the ladder.
        now: bool,
    },
    /// Write the record.
    Persist,
    /// What is told now is withheld until the store has it: what clients were told of must outlive the gateway.
    StoreFirst,
    /// Remember that a message id was seen.
    Remember(String),
    /// The session's task is done.
    Close(Closing),
}

/// What an agent is doing, as far as others who want its slot are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is needed.
    Busy,
    /// It could be put to sleep.
    Resting,
    /// It could be put to sleep, but its background tasks would end.
    Lingering,
    /// It is on its way out; the slot will be free.
    Leaving,
}

/// Why a session's task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// For good; the session is over.
    Ended(EndReason),
    /// It never ran a turn and nobody is there: as if it had never been.
    Removed,
    /// It rests in the store.
    Dormant,
    /// Its tenure ended: another gateway may run it by now. Said by the task, never by the state machine.
    Lost,
}

/// What an agent is to be started with.
#[derive(Debug, Clone)]
pub struct LaunchPlan {
    /// The session's configuration.
    pub config: SessionConfig,
    /// The agent's settings (permission rules), JSON.
    pub settings: String,
    /// The conversation's id.
    pub conversation: Uuid,
    /// Whether the conversation exists.
    pub resume: bool,
}

impl LaunchPlan {
    /// Whether an agent that was started by this plan is, but for the conversation's id, what `wanted` asks for. Both are of
    /// conversations to begin.
    pub fn fits(&self, wanted: &Self) -> bool {
        // What only the gateway looks at does not matter.
        let bare = |config: &SessionConfig| SessionConfig {
            metadata: BTreeMap::new(),
            agent_events: false,
            subagent_text: Some(config.subagent_text()),
            ..config.clone()
        };
        !self.resume
            && !wanted.resume
            && self.settings == wanted.settings
            && bare(&self.config) == bare(&wanted.config)
    }
}

/// What a session begins with.
#[derive(Debug)]
pub struct Birth {
    /// Its id.
    pub id: Arc<str>,
    /// Everything that is kept of it.
    pub record: Record,
    /// Where its journal goes on.
    pub position: Position,
    /// Message ids that were seen.
    pub seen: Seen,
}

/// Limits of a session. Each has a flag; see `config`.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// How deep JSON in a message's text may nest (`--max-json-depth`) to be taken for content blocks.
    pub max_json_depth: usize,
    /// User messages that may wait (`--max-queue`); more: `error` `queue_full`.
    pub max_queue: usize,
    /// Bytes that they may hold together (`--max-queue-bytes`); more: `queue_full`. One message always finds room.
    pub max_queue_bytes: usize,
    /// Connections that may be attached (`--max-attached`); more: `error` `capacity`.
    pub max_attached: usize,
    /// Prompts that may be open at once (`--max-prompts`); more are denied.
    pub max_prompts: usize,
    /// How long a prompt stays open (`--permission-timeout`); none: for ever.
    pub permission_timeout: Option<Duration>,
    /// How long a client tool may take (`--client-tool-timeout`); none: for ever.
    pub client_tool_timeout: Option<Duration>,
    /// How long an agent may take to start (`--agent-start-timeout`).
    pub start_timeout: Duration,
    /// How long an agent may take to heed an interrupt before it is killed (`--interrupt-timeout`).
    pub interrupt_timeout: Duration,
    /// How long an agent stays up without a turn (`--agent-idle`).
    pub agent_idle: Duration,
    /// How long a task keeps its agent up without a sign of life (`--task-limit`).
    pub task_limit: Duration,
    /// The same for a schedule (`--schedule-limit`).
    pub schedule_limit: Duration,
    /// How long a session waits for a slot before one whose agent has nothing but tasks gives its own (`--slot-patience`).
    pub slot_patience: Duration,
    /// How long a session without connections stays up (`--session-grace`).
    pub session_grace: Duration,
    /// How long a dormant session is kept where there is no store (`--retention`); a store keeps its own time.
    pub retention: Duration,
    /// Whether `bypass` may be asked for (`--allow-bypass`).
    pub allow_bypass: bool,
    /// Which MCP servers clients may name (`--no-client-mcp`, `--allow-client-mcp`).
    pub client_mcp: ClientMcp,
    /// Whether other sessions may send this one messages (`--allow-cross-session`).
    pub allow_cross_session: bool,
    /// Whether sessions are kept in a store.
    pub stored: bool,
    /// Model of sessions that name none (`--model`).
    pub default_model: Option<String>,
}

impl SessionLimits {
    /// What becomes of a session when the server goes down.
    pub fn closing_at_shutdown(&self) -> Closing {
        if self.stored { Closing::Dormant } else { Closing::Ended(EndReason::Shutdown) }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_json_depth: 64,
            max_queue: 64,
            max_queue_bytes: 32 << 20,
            max_attached: 1_000,
            max_prompts: 256,
            permission_timeout: None,
            client_tool_timeout: None,
            start_timeout: Duration::from_mins(1),
            interrupt_timeout: Duration::from_secs(10),
            agent_idle: Duration::from_mins(10),
            task_limit: Duration::from_hours(1),
            schedule_limit: Duration::from_hours(24),
            slot_patience: Duration::from_secs(30),
            session_grace: Duration::from_mins(10),
            retention: Duration::from_hours(168),
            allow_bypass: false,
            client_mcp: ClientMcp::default(),
            allow_cross_session: false,
            stored: false,
            default_model: None,
        }
    }
}
