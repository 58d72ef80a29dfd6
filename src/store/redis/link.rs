//! The connection that requests go over at the moment. The keeper puts it there and takes it away; everybody else waits for it.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use tokio::sync::watch;

use super::connect::{Trouble, Wire};
use crate::store::StoreError;

/// How long requests of people (lists, claims, replays) wait for Redis to come back before they fail.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Link {
    wire: watch::Sender<Option<Wire>>,
    /// The store is closed.
    closed: tokio_util::sync::CancellationToken,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { wire: watch::Sender::new(None), closed: tokio_util::sync::CancellationToken::new() }
    }

    /// The connection is fit for use.
    pub(super) fn set(&self, wire: &Wire) {
        self.wire.send_replace(Some(wire.clone()));
    }

    pub(super) fn unset(&self) {
        if let Some(wire) = self.wire.send_replace(None) {
            wire.hang_up();
        }
    }

    /// Nothing is asked any more.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.unset();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Ends when the store is closed.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The connection, as soon as there is one; `None` when the store is closed.
    pub(super) async fn wire(&self) -> Option<Wire> {
        let mut lines = self.wire.subscribe();
        tokio::select! {
            biased;
            () = self.closed.cancelled() => None,
            wire = lines.wait_for(|wire| wire.as_ref().is_some_and(|wire| !wire.is_over())) => wire.ok()?.clone(),
        }
    }

    /// The connection, if Redis is there or comes soon.
    pub(super) async fn wire_soon(&self) -> Result<Wire, StoreError> {
        match tokio::time::timeout(PATIENCE, self.wire()).await {
            Ok(Some(wire)) => Ok(wire),
            Ok(None) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Away("Redis is away".to_owned())),
        }
    }

    /// Asks once.
    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        let wire = self.wire_soon().await?;
        wire.ask(cmd).await.map_err(StoreError::from)
    }

    /// Asks for what can be asked twice: once more when the connection ended meanwhile.
    pub(super) async fn look<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        match self.ask(cmd).await {
            Err(StoreError::Away(_)) => self.ask(cmd).await,
            answer => answer,
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Down(text) | Trouble::Silent(text) => Self::Away(text),
            Trouble::Denied(text) => Self::Database(text),
        }
    }
}
