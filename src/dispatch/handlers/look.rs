//! Messages that only look.

use crate::dispatch::Context;
use crate::lengthy::at_length;
use crate::protocol::cut;
use crate::protocol::parse::FrameError;
use crate::protocol::{
    AgentInfo, Empty, ErrorCode, ListSessions, Liveness, Replay, ResultRead, ServerHeartbeat, ServerMessage,
    SessionInfo, SessionList, SessionSummary,
};
use crate::session::{Answer, AtRest, Command, Found, Record};

pub(in crate::dispatch) async fn session_info(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Empty {} = context.body()?;
    match context.find().await? {
        Found::Live(_) => context.command(|| Command::Info).await,
        Found::Dormant(summary) | Found::Ended(summary) => {
            let kept = context.dispatch.registry.at_rest(context.session_id(), context.owner).await;
            let kept = kept.map_err(|problem| context.not_opened(&problem))?;
            Ok(at_rest(context, &summary, kept))
        }
        Found::Unknown => Err(context.unknown_session()),
    }
}

/// What is known of a session that has no task. One that ended and was never stored is known by its summary alone.
fn at_rest(context: &Context<'_>, summary: &SessionSummary, kept: Option<AtRest>) -> Answer {
    let AtRest { record, epoch, first_seq, last_seq } = kept.unwrap_or_else(|| AtRest {
        record: Record::default(),
        epoch: String::new(),
        first_seq: 1,
        last_seq: 0,
    });
    let info = SessionInfo {
        status: summary.status,
        state: summary.state,
        created: false,
        cwd: summary.cwd.as_str().into(),
        model: record.config.model.map(Into::into),
        effort: record.config.effort,
        permission_mode: record.config.permission_mode,
        metadata: summary.metadata.clone(),
        num_turns: summary.num_turns,
        total_cost_usd: summary.total_cost_usd,
        created_at: summary.created_at,
        epoch: epoch.into(),
        first_seq,
        last_seq,
        replay: Replay::None,
        pending_permissions: Vec::new(),
        pending_elicitations: Vec::new(),
        queued: Vec::new(),
        tasks: Vec::new(),
        agent: AgentInfo { state: AgentInfo::default().state, ..record.agent },
        server: context.dispatch.registry.shared().server.clone(),
    };
    debug_assert!(info.status != Liveness::Active, "a session at rest");
    context.answer(&ServerMessage::SessionInfo(Box::new(info)))
}

/// A page of one event, which is read anew for each page: no state is kept of who reads how far.
pub(in crate::dispatch) async fn result_read(context: &Context<'_>) -> Result<Answer, FrameError> {
    let ResultRead { tool_use_id, seq, offset, max_bytes } = context.body()?;
    let event = match context.find().await? {
        Found::Live(session) => session.event(seq).await,
        Found::Dormant(_) | Found::Ended(_) => {
            let event =
                context.dispatch.registry.event_at_rest(context.session_id(), context.owner, seq).await;
            event.map_err(|problem| context.not_opened(&problem))?
        }
        Found::Unknown => return Err(context.unknown_session()),
    };
    let offset = offset.unwrap_or_default();
    let max_bytes = max_bytes.unwrap_or(ResultRead::DEFAULT_BYTES) as usize;
    let page = event.and_then(|event| {
        at_length(event.len(), || {
            let page = cut::page(&event, &tool_use_id, offset, max_bytes)?;
            Some(context.answer(&ServerMessage::ResultRead(page)))
        })
    });
    page.ok_or_else(|| {
        let text = format!("event {seq} is no result of {tool_use_id:?} that is kept");
        context.error(ErrorCode::UnknownRequest, text)
    })
}

pub(in crate::dispatch) async fn session_list(context: &Context<'_>) -> Result<Answer, FrameError> {
    let asked: ListSessions = context.body()?;
    let listed = context.dispatch.registry.list(context.owner, &asked).await;
    let listed = match &context.dispatch.elsewhere {
        Some(elsewhere) if !listed.elsewhere.is_empty() => elsewhere.complete(context.owner, listed).await,
        _ => listed,
    };
    let list = SessionList { sessions: listed.sessions, next_cursor: listed.next, total: listed.total };
    Ok(context.answer(&ServerMessage::SessionList(list)))
}

#[expect(clippy::unused_async, reason = "a row of the table, whose handlers are all async")]
pub(in crate::dispatch) async fn heartbeat(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Empty {} = context.body()?;
    let request_id = context.header.id.as_deref();
    let message = ServerMessage::Heartbeat(ServerHeartbeat::default());
    Ok(context.dispatch.timed_frame(context.session_id(), request_id, &message).into())
}

impl Context<'_> {
    /// One reply to this message.
    pub(super) fn answer(&self, message: &ServerMessage<'_>) -> Answer {
        self.dispatch.frame(self.header.session_id.as_deref(), self.header.id.as_deref(), message).into()
    }
}
