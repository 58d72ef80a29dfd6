//! One connection to Redis: made by hand, so that a failure says what it is evidence of.
//!
//! May assume: nothing about the network. Must not know: what is said on the connection.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError, RedisResult,
    Value, aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::address::{Host, Place, RedisAddress, RedisOptions};

/// How many requests wait to be written to one connection; more wait at their senders.
const PIPELINE: usize = 1024;

/// Why Redis did not do as asked, and what that says about everybody else. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody listens there, or Redis answers that it cannot at all: others find the same, so nobody can take a session.
    #[error("{0}")]
    Down(String),
    /// No answer, or none of Redis's: others may have got one.
    #[error("{0}")]
    Silent(String),
    /// An answer that says no to this node or to this request: others may have got another.
    #[error("{0}")]
    Denied(String),
}

/// Answers that tell that Redis, not this request, is in trouble.
const DOWN: [&str; 4] = ["LOADING", "OOM", "MISCONF", "BUSY"];
/// Answers of a Redis that is not, or soon not, the primary: others may be served by another one.
const ASIDE: [&str; 4] = ["READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN"];

impl Trouble {
    pub(super) fn of(error: &RedisError) -> Self {
        let text = words(error);
        // Redis reports those of a command in a script with the script's own code in some versions.
        let says = |codes: &[&str]| {
            let code = error.code().unwrap_or_default();
            codes.contains(&code) || codes.iter().any(|code| text.contains(&format!("{code} ")))
        };
        match error.code() {
            Some(_) if says(&ASIDE) => Self::Silent(text),
            Some(_) if says(&DOWN) => Self::Down(text),
            None if error.is_io_error() || error.kind() == ErrorKind::Parse => Self::Silent(text),
            _ => Self::Denied(text),
        }
    }

    /// As one finds it who is not sure to have asked the Redis that others ask.
    pub(super) fn unwitnessed(self) -> Self {
        match self {
            Self::Down(text) => Self::Silent(text),
            other => other,
        }
    }

    fn of_io(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        match error.kind() {
            // A socket's file that is not there is a refusal too.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotFound => Self::Down(text),
            io::ErrorKind::InvalidData => Self::Denied(text),
            _ => Self::Silent(text),
        }
    }
}

/// What Redis said, in its own words: for who knows it, and for who looks it up.
fn words(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{code} {}", error.detail().unwrap_or_default().trim_end()),
        None if error.kind() == ErrorKind::Parse => {
            format!("what answers there is no Redis ({})", error.detail().unwrap_or("not its protocol"))
        }
        None => error.to_string(),
    }
}

/// One connection; clones are the same. Requests of several tasks go out one behind the other without waiting for answers.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    connection: MultiplexedConnection,
    /// Cancelled when the connection is over, whoever ended it: requests under way end then.
    over: CancellationToken,
    /// It is known to be the Redis that others ask too.
    pub(super) witnessed: bool,
}

impl Wire {
    /// Asks. Waits as long as the connection lives: whoever cares sets a deadline. `Silent`: it may have been done or not.
    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Trouble> {
        let value = self.ask_value(cmd).await?.map_err(|error| Trouble::of(&error))?;
        T::from_redis_value(value).map_err(|error| Trouble::Denied(error.to_string()))
    }

    /// As [`ask`](Self::ask); the inner error is Redis's own.
    pub(super) async fn ask_value(&self, cmd: &Cmd) -> Result<RedisResult<Value>, Trouble> {
        let mut connection = self.connection.clone();
        let answer = tokio::select! {
            biased;
            answer = connection.send_packed_command(cmd) => answer,
            () = self.over.cancelled() => return Err(Trouble::Silent("the connection ended".to_owned())),
        };
        // An error answer comes as a value.
        match answer {
            Ok(Value::ServerError(error)) => Ok(Err(error.into())),
            Err(error) if error.is_io_error() => Err(Trouble::Silent(error.to_string())),
            other => Ok(other),
        }
    }

    /// Ends it.
    pub(super) fn hang_up(&self) {
        self.over.cancel();
    }

    /// Ends when the connection does.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) address: RedisAddress,
    tls: Option<TlsConnector>,
    /// For each step of making one.
    patience: Duration,
    tasks: TaskTracker,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connector {
    /// Blocks for reading certificates.
    pub(super) fn new(options: &RedisOptions, patience: Duration, tasks: TaskTracker) -> io::Result<Self> {
        let address = options.address.clone();
        let tls = address.tls.then(|| tls(options)).transpose()?;
        Ok(Self { address, tls, patience, tasks })
    }

    /// One that waits otherwise.
    pub(super) fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Connects to the primary and says who we are.
    pub(super) async fn connect(&self) -> Result<Wire, Trouble> {
        match &self.address.place {
            Place::Tcp(host) => self.wire(self.tcp(host).await?, true).await,
            Place::Unix(path) => {
                let stream = self.in_time("the socket", UnixStream::connect(path)).await?;
                self.wire(Box::new(stream), true).await
            }
            Place::Sentinel { sentinels, name } => {
                let (primary, is_sure) = self.primary(sentinels, name).await?;
                let wire = self.primarys_wire(&primary).await;
                let wire = if is_sure { wire? } else { wire.map_err(Trouble::unwitnessed)? };
                let wire = Wire { witnessed: is_sure, ..wire };
                let role: Vec<Value> = self.in_time_ask(&wire, redis::cmd("ROLE")).await?;
                match role.first() {
                    Some(Value::BulkString(role)) if role == b"master" => Ok(wire),
                    // So the sentinels, or that Redis, do not know yet. Others may have found the new one.
                    _ => {
                        wire.hang_up();
                        Err(Trouble::Silent(format!("{primary} is not the primary yet")))
                    }
                }
            }
        }
    }

    async fn primarys_wire(&self, primary: &Host) -> Result<Wire, Trouble> {
        self.wire(self.tcp(primary).await?, true).await
    }

    /// Asks all sentinels. Where most of them name the same primary, what is found there is evidence; otherwise there may be another
    /// one by now, on the other side of a split.
    async fn primary(&self, sentinels: &[Host], name: &str) -> Result<(Host, bool), Trouble> {
        let answers = join_all(sentinels.iter().map(|sentinel| self.ask_sentinel(sentinel, name))).await;
        let mut problem = String::from("no sentinel is named");
        let mut named: Vec<(Host, usize)> = Vec::new();
        for (sentinel, answer) in sentinels.iter().zip(answers) {
            match answer {
                Ok(host) => match named.iter_mut().find(|(known, _)| *known == host) {
                    Some((_, votes)) => *votes += 1,
                    None => named.push((host, 1)),
                },
                Err(trouble) => problem = format!("sentinel {sentinel}: {trouble}"),
            }
        }
        let most = named.into_iter().max_by_key(|(_, votes)| *votes);
        let (host, votes) = most.ok_or(Trouble::Silent(problem))?;
        Ok((host, 2 * votes > sentinels.len()))
    }

    async fn ask_sentinel(&self, sentinel: &Host, name: &str) -> Result<Host, Trouble> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(name);
        // Most sentinels have no password. Those that have one have that of the Redis.
        let wire = self.wire(self.tcp(sentinel).await?, false).await?;
        let mut answer: Result<Option<(String, u16)>, _> = self.in_time_ask(&wire, ask.clone()).await;
        wire.hang_up();
        if matches!(&answer, Err(trouble) if trouble.to_string().contains("NOAUTH")) {
            let wire = self.wire(self.tcp(sentinel).await?, true).await?;
            answer = self.in_time_ask(&wire, ask).await;
            wire.hang_up();
        }
        let (name, port) = answer?.ok_or_else(|| Trouble::Denied(format!("it knows no primary {name}")))?;
        Ok(Host { name, port })
    }

    async fn tcp(&self, host: &Host) -> Result<Box<dyn Stream>, Trouble> {
        let connect = TcpStream::connect((host.name.as_str(), host.port));
        let stream = self.in_time(&host.to_string(), connect).await?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.name.clone())
            .map_err(|_| Trouble::Denied(format!("{} is no name of a server", host.name)))?;
        let stream = self.in_time(&format!("TLS with {host}"), tls.connect(name, stream)).await?;
        Ok(Box::new(stream))
    }

    async fn wire(&self, stream: Box<dyn Stream>, as_user: bool) -> Result<Wire, Trouble> {
        let mut who = RedisConnectionInfo::default().set_skip_set_lib_name();
        if as_user {
            who = who.set_db(self.address.db);
            if let Some(user) = self.address.user() {
                who = who.set_username(user);
            }
            if let Some(password) = self.address.password() {
                who = who.set_password(password);
            }
        }
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let made = timeout(self.patience, MultiplexedConnection::new_with_config(&who, stream, config)).await;
        let made = made.map_err(|_| Trouble::Silent("no answer to the greeting".to_owned()))?;
        let (connection, driver) = made.map_err(|error| match Trouble::of(&error) {
            // Closed at once instead of an answer.
            Trouble::Silent(text) => Trouble::Down(text),
            trouble => trouble,
        })?;
        let over = CancellationToken::new();
        let ended = over.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = driver => {}
                () = ended.cancelled() => {}
            }
            ended.cancel();
        });
        Ok(Wire { connection, over, witnessed: true })
    }

    async fn in_time<T>(
        &self,
        what: &str,
        work: impl Future<Output = io::Result<T>> + Send,
    ) -> Result<T, Trouble> {
        match timeout(self.patience, work).await {
            Ok(done) => done.map_err(|error| Trouble::of_io(what, &error)),
            Err(_) => Err(Trouble::Silent(format!("{what}: no answer"))),
        }
    }

    pub(super) async fn in_time_ask<T: FromRedisValue>(&self, wire: &Wire, cmd: Cmd) -> Result<T, Trouble> {
        let asked = timeout(self.patience, wire.ask(&cmd)).await;
        asked.map_err(|_| Trouble::Silent("no answer".to_owned()))?
    }
}

/// The system's certificates and the file's.
fn tls(options: &RedisOptions) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &options.ca_file {
        let bad =
            |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        let mut any = false;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
            any = true;
        }
        if !any {
            return Err(bad("holds no certificate".to_owned()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
