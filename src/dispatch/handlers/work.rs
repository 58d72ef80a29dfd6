//! Messages that are for the session itself.

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::dispatch::Context;
use crate::protocol::parse::FrameError;
use crate::protocol::{
    Cancel, ClientToolResult, ConfigUpdate, Empty, ErrorCode, Interrupt, Json, PermissionResponse,
    PermissionUpdate, RuleUpdate, SessionEnd, UserMessage,
};
use crate::session::{Answer, Command};

pub(in crate::dispatch) async fn session_end(context: &Context<'_>) -> Result<Answer, FrameError> {
    let SessionEnd { reason } = context.body()?;
    context.command(|| Command::End { reason: reason.clone() }).await
}

pub(in crate::dispatch) async fn user_message(context: &Context<'_>) -> Result<Answer, FrameError> {
    let message: UserMessage = context.body()?;
    context.command(|| Command::UserMessage(message.clone())).await
}

pub(in crate::dispatch) async fn permission_response(context: &Context<'_>) -> Result<Answer, FrameError> {
    let mut answer: PermissionResponse = context.body()?;
    for (at, update) in answer.updated_permissions.iter_mut().flatten().enumerate() {
        *update = agent_update(context, update, &format!("updated_permissions[{at}]"))?;
    }
    context.command(|| Command::PermissionResponse(answer.clone())).await
}

pub(in crate::dispatch) async fn permission_update(context: &Context<'_>) -> Result<Answer, FrameError> {
    let mut update: PermissionUpdate = context.body()?;
    for change in &mut update.updates {
        if let RuleUpdate::AddDirectories { directories } = change {
            for directory in directories {
                *directory = context.directory(directory, ErrorCode::Forbidden, "updates.directories")?;
            }
        }
    }
    context.command(|| Command::PermissionUpdate(update.clone())).await
}

/// A rule update in the agent's own form, held to what `permission_update` may do: its directories are under the workspace
/// roots, and it is for this session. With another destination the agent would write a settings file, which other
/// sessions, of other owners too, would read.
fn agent_update(
    context: &Context<'_>,
    update: &Json<'static>,
    field: &str,
) -> Result<Json<'static>, FrameError> {
    let invalid =
        |problem: &dyn Display| context.error(ErrorCode::InvalidMessage, format!("{field}: {problem}"));
    // Written anew as a whole: of a key that comes twice the agent must not see another value than this check.
    let mut update: Map<String, Value> = update.to().map_err(|problem| invalid(&problem))?;
    update.insert("destination".to_owned(), "session".into());
    let removes = update.get("type").is_some_and(|kind| kind == "removeDirectories");
    if let Some(directories) = update.get_mut("directories").filter(|_| !removes) {
        let Value::Array(directories) = directories else {
            return Err(invalid(&"directories is not an array"));
        };
        for directory in directories {
            let Value::String(path) = directory else {
                return Err(invalid(&"directories: not a string"));
            };
            *path = context.directory(path, ErrorCode::Forbidden, &format!("{field}.directories"))?;
        }
    }
    Json::of(&update).map_err(|problem| invalid(&problem))
}

pub(in crate::dispatch) async fn tool_result(context: &Context<'_>) -> Result<Answer, FrameError> {
    let result: ClientToolResult = context.body()?;
    context.command(|| Command::ToolResult(result.clone())).await
}

pub(in crate::dispatch) async fn interrupt(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Interrupt { reason } = context.body()?;
    context.command(|| Command::Interrupt { reason: reason.clone() }).await
}

pub(in crate::dispatch) async fn resume(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Empty {} = context.body()?;
    context.command(|| Command::Resume).await
}

pub(in crate::dispatch) async fn cancel(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Cancel { target_id } = context.body()?;
    context.command(|| Command::Cancel { target_id: target_id.clone() }).await
}

pub(in crate::dispatch) async fn config_update(context: &Context<'_>) -> Result<Answer, FrameError> {
    let ConfigUpdate { config } = context.body()?;
    context.command(|| Command::ConfigUpdate(config.clone())).await
}

pub(in crate::dispatch) async fn config_query(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Empty {} = context.body()?;
    context.command(|| Command::ConfigQuery).await
}
