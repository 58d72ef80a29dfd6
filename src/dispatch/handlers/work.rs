//! Messages that are for the session itself.

use crate::dispatch::Context;
use crate::protocol::parse::FrameError;
use crate::protocol::{
    Cancel, ClientToolResult, ConfigUpdate, Empty, ErrorCode, Interrupt, PermissionResponse,
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
    let answer: PermissionResponse = context.body()?;
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
