//! Messages that create a session or attach to one.

use std::borrow::Cow;

use uuid::Uuid;

use super::Tries;
use crate::dispatch::paths::BadPath;
use crate::dispatch::{Context, Handled};
use crate::protocol::parse::FrameError;
use crate::protocol::{
    ErrorCode, NewSession, NewSessionReply, PermissionMode, ServerMessage, SessionConfig, SessionStart,
    StartOptions,
};
use crate::session::state::{Attach, ReplayFrom};
use crate::session::{Answer, Command, NoDirectory, OpenError, Resolved};

pub(in crate::dispatch) async fn session_start(context: &Context<'_>) -> Result<Answer, FrameError> {
    let SessionStart { mut options, position } = context.body()?;
    let id: Cow<'_, str> = match context.session_id() {
        "" => Uuid::new_v4().to_string().into(),
        id => id.into(),
    };
    if let Some(cwd) = &options.cwd {
        // Resolved before anything is compared with it.
        options.cwd = Some(context.directory(cwd, ErrorCode::InvalidCwd, "cwd").await?);
    }
    let from = ReplayFrom { last_seq: position.last_seq, epoch: position.epoch, is_lost: false };
    attach(context, &id, &options, &from).await.map(|(answer, _)| answer)
}

pub(in crate::dispatch) async fn new_session(context: &Context<'_>) -> Result<Answer, FrameError> {
    let NewSession { cwd, mcp_servers } = context.body()?;
    let cwd = context.directory(&cwd, ErrorCode::InvalidCwd, "cwd").await?;
    let options =
        StartOptions { cwd: Some(cwd.clone()), mcp_servers: Some(mcp_servers), ..StartOptions::default() };
    let id = Uuid::new_v4().to_string();
    let (answer, created_at) = attach(context, &id, &options, &ReplayFrom::default()).await?;
    let epoch = answer.cursor.as_ref().map(|cursor| cursor.epoch().to_owned()).unwrap_or_default();
    let reply = NewSessionReply { cwd, epoch, created_at, permission_mode: PermissionMode::default() };
    let request_id = context.header.id.as_deref();
    let frame = context.dispatch.frame(Some(&id), request_id, &ServerMessage::NewSession(reply));
    // The same as `session_info` would say of a session that is a moment old.
    Ok(Answer { frames: vec![frame], cursor: answer.cursor })
}

/// Opens the session and attaches; gives the answer, and when the session was made.
async fn attach(
    context: &Context<'_>,
    id: &str,
    options: &StartOptions,
    from: &ReplayFrom,
) -> Result<(Answer, u64), FrameError> {
    let mut tries = Tries::default();
    while tries.next().await {
        let directories = |paths| -> Resolved {
            let roots = context.dispatch.roots.clone();
            Box::pin(async move {
                let resolved = roots.resolve(paths).await.into_iter();
                resolved.map(|resolved| resolved.map_err(BadPath::on_waking)).collect()
            })
        };
        let config = config(context, options);
        let opened = context.dispatch.registry.open(id, context.owner, &directories, config).await;
        let (handle, created) = opened.map_err(|refused: Refused| refused.for_client(context))?;
        let options = (!created && !options.is_empty()).then(|| Box::new(options.clone()));
        let mut from = from.clone();
        if let Some(seq) = from.last_seq {
            from.is_lost = handle.has_lost(seq, from.epoch.as_deref()).await;
        }
        let attach = Attach { from, options, created };
        if let Some(answer) = handle.command(context.client, context.id(), Command::Attach(attach)).await {
            return Ok((answer, handle.summary().created_at));
        }
        if context.may_have_moved() {
            break;
        }
    }
    Err(context.error(ErrorCode::Internal, "the session does not answer"))
}

/// The configuration of a new session: paths resolved and allowed, the mode permitted.
async fn config(context: &Context<'_>, options: &StartOptions) -> Result<SessionConfig, Refused> {
    let mut config = options.clone().into_config();
    if config.permission_mode == PermissionMode::Bypass
        && !context.dispatch.registry.shared().limits.allow_bypass
    {
        let text = "permission mode \"bypass\" needs a server that runs with --allow-bypass";
        return Err(Refused::Frame(context.error(ErrorCode::Forbidden, text)));
    }
    if let Some(refusal) = context.dispatch.registry.shared().limits.client_mcp.refusal(&config.mcp_servers) {
        return Err(Refused::Frame(context.error(ErrorCode::Forbidden, refusal)));
    }
    if config.cwd.is_none() {
        config.cwd = Some(context.dispatch.roots.first().to_owned());
    }
    let resolved = context.dispatch.roots.resolve(std::mem::take(&mut config.add_dirs)).await;
    for dir in resolved {
        config.add_dirs.push(context.allowed(dir, ErrorCode::InvalidCwd, "add_dirs")?);
    }
    if let Some(excess) = crate::session::state::excess(&config) {
        return Err(Refused::Frame(context.error(ErrorCode::InvalidMessage, excess)));
    }
    Ok(config)
}

/// Why there is no session to attach to.
enum Refused {
    Frame(FrameError),
    Open(OpenError),
}

impl From<FrameError> for Refused {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl Refused {
    fn for_client(self, context: &Context<'_>) -> FrameError {
        match self {
            Self::Frame(error) => error,
            Self::Open(problem) => context.not_opened(&problem),
        }
    }
}

impl BadPath {
    /// What it means for a session that was allowed to work there once.
    fn on_waking(self) -> NoDirectory {
        match self {
            Self::Silent => NoDirectory::Silent,
            Self::Relative | Self::NotAllowed => NoDirectory::Gone,
        }
    }
}

impl Context<'_> {
    /// Notes on the cursor of an attach how much of a content the client wants.
    pub(in crate::dispatch) fn with_wish(&self, mut handled: Handled) -> Handled {
        if let Some(cursor) = &mut handled.answer.cursor
            && self.header.kind == "session_start"
            && let Ok(SessionStart { position, .. }) = self.body()
            && let Some(bytes) = position.max_content_bytes
        {
            cursor.want_at_most(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        handled
    }

    /// A directory that the client named, resolved, if it may be used.
    async fn directory(&self, path: &str, code: ErrorCode, field: &str) -> Result<String, FrameError> {
        let resolved = self.dispatch.roots.resolve(vec![path.to_owned()]).await.pop();
        self.allowed(resolved.unwrap_or(Err(BadPath::NotAllowed)), code, field)
    }

    /// What became of such a directory, told as a client is to hear it.
    pub(super) fn allowed(
        &self,
        resolved: Result<String, BadPath>,
        code: ErrorCode,
        field: &str,
    ) -> Result<String, FrameError> {
        let roots = || self.dispatch.roots.names();
        resolved.map_err(|problem| match problem {
            BadPath::NotAllowed => self.error(code, format!("{field}: {problem}: {}", roots())),
            BadPath::Relative | BadPath::Silent => self.error(code, format!("{field}: {problem}")),
        })
    }
}
