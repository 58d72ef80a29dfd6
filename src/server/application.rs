//! What stands behind the server, and the server's limits.

use std::{sync::Arc, time::Duration};

use hyper::http::request::Parts;

use super::{AllowedOrigins, Reply, TokenStore, TrustedProxies};
use crate::connection::{self, Service, Stats};

/// A [`Service`] with what HTTP needs besides.
pub trait Application: Service {
    /// Further routes (console, metrics, schema). `None`: 404. Asked for GET and HEAD only; other methods of a path that has an
    /// answer get 405. Must be quick: it runs in the connection's task.
    fn http(&self, request: &Parts) -> Option<Reply> {
        let _ = request;
        None
    }

    /// `/readyz`: why no session could be served right now; or, where one could, what does not work all the same. Both are for
    /// everybody to read.
    fn ready(&self) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// Limits and doors of one server. The defaults are for embedders that name none; the command's are in its `--help`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--max-connections`: sockets at once, all addresses together; further requests get 503. 10,000.
    pub max_connections: usize,
    /// `--max-connections-per-address`: sockets at once of one client address (of one /64 for IPv6); behind a trusted proxy,
    /// connections of one client. 1,000. Unix sockets have no address and no such limit.
    pub max_per_address: usize,
    /// How long a request head may take from its first wait to its last byte; so also how long a connection may idle between
    /// requests. 10 s.
    pub header_timeout: Duration,
    /// Size of a request head in bytes; larger ones get 431. At least 8192. 16 KiB.
    pub max_header_bytes: usize,
    /// How long a client may take to take an HTTP answer. 30 s.
    pub answer_timeout: Duration,
    /// How long open connections may take to end after [`Shutdown::closing`](super::Shutdown); then they are cut
    /// off. More than an orderly close of one connection takes. 10 s.
    pub close_deadline: Duration,
    /// `--auth-token-file`; `None`: everybody may come in.
    pub tokens: Option<Arc<TokenStore>>,
    /// `--allow-origin`.
    pub origins: AllowedOrigins,
    /// `--trusted-proxy`.
    pub proxies: TrustedProxies,
    /// Limits of each connection.
    pub connection: Arc<connection::Settings>,
    /// Where everything is counted.
    pub stats: Arc<Stats>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_address: 1_000,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 << 10,
            answer_timeout: Duration::from_secs(30),
            close_deadline: Duration::from_secs(10),
            tokens: None,
            origins: AllowedOrigins::default(),
            proxies: TrustedProxies::default(),
            connection: Arc::new(connection::Settings::default()),
            stats: Arc::new(Stats::default()),
        }
    }
}
