//! What a session's task waits for, each as a future that never ends where there is nothing to wait for. All are cancel safe.

use super::process::{Committing, SlotState, Starting};
use crate::agent::{Agent, AgentOutput, Output, SpawnError};
use crate::session::pool::Slot;

pub(super) async fn receive(output: &mut Option<AgentOutput>) -> Option<Output> {
    match output {
        Some(output) => output.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn start(starting: &mut Option<Starting>) -> Result<(Agent, AgentOutput), SpawnError> {
    match starting {
        Some(starting) => starting.await,
        None => std::future::pending().await,
    }
}

pub(super) async fn committed(committing: &mut Option<Committing>) {
    match committing {
        Some(committing) => committing.await,
        None => std::future::pending().await,
    }
}

pub(super) async fn wait_in_line(slot: &mut SlotState) -> Option<Slot> {
    match slot {
        SlotState::InLine(slot) => slot.await.ok(),
        SlotState::None | SlotState::Held(_) => std::future::pending().await,
    }
}
