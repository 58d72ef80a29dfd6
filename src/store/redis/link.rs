//! The connection that requests go over at the moment. The keeper puts it there and takes it away; everybody else waits for it.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use tokio::sync::watch;

use super::connect::{Line, Trouble};
use crate::store::StoreError;

/// How long requests of people (lists, claims, replays) wait for Redis to come back before they fail.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Link {
    line: watch::Sender<Option<Line>>,
    /// The store is closed.
    closed: tokio_util::sync::CancellationToken,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { line: watch::Sender::new(None), closed: tokio_util::sync::CancellationToken::new() }
    }

    /// The connection is fit for use.
    pub(super) fn set(&self, line: &Line) {
        self.line.send_replace(Some(line.clone()));
    }

    pub(super) fn unset(&self) {
        if let Some(line) = self.line.send_replace(None) {
            line.hang_up();
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
    pub(super) async fn line(&self) -> Option<Line> {
        let mut lines = self.line.subscribe();
        tokio::select! {
            biased;
            () = self.closed.cancelled() => None,
            line = lines.wait_for(|line| line.as_ref().is_some_and(|line| !line.is_over())) => line.ok()?.clone(),
        }
    }

    /// The connection, if Redis is there or comes soon.
    pub(super) async fn line_soon(&self) -> Result<Line, StoreError> {
        match tokio::time::timeout(PATIENCE, self.line()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Away("Redis is away".to_owned())),
        }
    }

    /// Asks once.
    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        let line = self.line_soon().await?;
        line.ask(cmd).await.map_err(StoreError::from)
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
