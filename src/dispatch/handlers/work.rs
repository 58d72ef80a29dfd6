//! Messages that are for the session itself.

use crate::dispatch::Context;
use crate::protocol::parse::FrameError;
use crate::protocol::{
    Background, Cancel, ClientToolResult, ConfigUpdate, ElicitationResponse, Empty, ErrorCode, Interrupt,
    PermissionResponse, PermissionUpdate, RuleUpdate, SessionEnd, TaskOutput, TaskStop, UserMessage,
};
use crate::session::{Answer, Command};

pub(in crate::dispatch) async fn session_end(context: &Context<'_>) -> Result<Answer, FrameError> {
    let SessionEnd { reason } = context.body()?;
    // One that rests can be ended as well; nobody needs to attach for that.
    context.wake_if_dormant().await?;
    context.command(|| Command::End { reason: reason.clone() }).await
}

pub(in crate::dispatch) async fn user_message(context: &Context<'_>) -> Result<Answer, FrameError> {
    let message: UserMessage = context.body()?;
    context.command(|| Command::UserMessage(message.clone())).await
}

pub(in crate::dispatch) async fn permission_response(context: &Context<'_>) -> Result<Answer, FrameError> {
    let mut answer: PermissionResponse = context.body()?;
    resolve_directories(context, answer.updated_permissions.iter_mut().flatten(), "updated_permissions")
        .await?;
    context.command(|| Command::PermissionResponse(answer.clone())).await
}

pub(in crate::dispatch) async fn elicitation_response(context: &Context<'_>) -> Result<Answer, FrameError> {
    let answer: ElicitationResponse = context.body()?;
    context.command(|| Command::ElicitationResponse(answer.clone())).await
}

pub(in crate::dispatch) async fn permission_update(context: &Context<'_>) -> Result<Answer, FrameError> {
    let mut update: PermissionUpdate = context.body()?;
    resolve_directories(context, update.updates.iter_mut(), "updates").await?;
    context.command(|| Command::PermissionUpdate(update.clone())).await
}

/// Holds the directories of rule updates to the workspace roots. What is removed may be gone, or outside by now: it goes under
/// the name that it was given, and under the one that it was kept by.
async fn resolve_directories<'u>(
    context: &Context<'_>,
    updates: impl Iterator<Item = &'u mut RuleUpdate>,
    field: &str,
) -> Result<(), FrameError> {
    let mut updates: Vec<_> = updates.collect();
    let named = updates.iter().flat_map(|update| directories(update)).cloned().collect();
    let mut resolved = context.dispatch.roots.resolve(named).await.into_iter();
    for (at, update) in updates.iter_mut().enumerate() {
        let resolved = resolved.by_ref().take(directories(update).len());
        match update {
            RuleUpdate::AddDirectories { directories } => {
                let field = format!("{field}[{at}].directories");
                *directories = resolved
                    .map(|directory| context.allowed(directory, ErrorCode::Forbidden, &field))
                    .collect::<Result<_, _>>()?;
            }
            RuleUpdate::RemoveDirectories { directories } => directories.extend(resolved.flatten()),
            _ => {}
        }
    }
    Ok(())
}

/// Those that an update names.
fn directories(update: &RuleUpdate) -> &[String] {
    match update {
        RuleUpdate::AddDirectories { directories } | RuleUpdate::RemoveDirectories { directories } => {
            directories
        }
        _ => &[],
    }
}

pub(in crate::dispatch) async fn tool_result(context: &Context<'_>) -> Result<Answer, FrameError> {
    let result: ClientToolResult = context.body()?;
    context.command(|| Command::ToolResult(result.clone())).await
}

pub(in crate::dispatch) async fn interrupt(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Interrupt { reason, tasks } = context.body()?;
    context.command(|| Command::Interrupt { reason: reason.clone(), tasks }).await
}

pub(in crate::dispatch) async fn task_stop(context: &Context<'_>) -> Result<Answer, FrameError> {
    let TaskStop { task_id } = context.body()?;
    context.command(|| Command::TaskStop { task_id: task_id.clone() }).await
}

pub(in crate::dispatch) async fn task_output(context: &Context<'_>) -> Result<Answer, FrameError> {
    let TaskOutput { task_id } = context.body()?;
    context.command(|| Command::TaskOutput { task_id: task_id.clone() }).await
}

pub(in crate::dispatch) async fn background(context: &Context<'_>) -> Result<Answer, FrameError> {
    let Background { tool_use_id } = context.body()?;
    context.command(|| Command::Background { tool_use_id: tool_use_id.clone() }).await
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
