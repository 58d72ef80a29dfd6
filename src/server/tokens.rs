//! Tokens: who may come in, and under which name.
//!
//! A file has one token a line, `name:token` or just a token; `#` begins a comment line. What is kept in memory are the tokens'
//! SHA-256 digests, and a comparison always looks at all of them, so its time says nothing about any.

use std::{
    fmt, fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

/// The file's size, at most; a larger one is not a tokens file.
const MAX_FILE: u64 = 1 << 20;
/// How long the file may take to be read: a pipe that nobody writes to, or a mount that is dead, gives nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// What some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Longest name and token.
const MAX_LEN: usize = 256;

/// The entries of one tokens file.
pub struct Tokens {
    entries: Vec<([u8; 32], Arc<str>)>,
}

/// A tokens file that cannot be used. Names lines, never tokens.
#[derive(Debug, thiserror::Error)]
pub enum BadTokens {
    /// The file cannot be read.
    #[error("cannot read the tokens file: {0}")]
    Io(#[from] io::Error),
    /// Whatever it is, it does not let itself be read.
    #[error("the tokens file gives nothing ({PATIENCE:?}): is it a pipe, or on a mount that is gone?")]
    Silent,
    /// Larger than 1 MiB.
    #[error("the tokens file is larger than 1 MiB")]
    TooLarge,
    /// Not UTF-8.
    #[error("the tokens file is not UTF-8")]
    NotText,
    /// A line that is neither `name:token` nor a token.
    #[error("line {line} of the tokens file: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No token at all: nobody could come in.
    #[error("the tokens file has no token in it")]
    Empty,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tokens({})", self.entries.len())
    }
}

impl Tokens {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "a file without a token is refused")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reads the file, which has ten seconds for it. Logs a warning when others than its owner can read it.
    pub async fn load(path: &Path) -> Result<Self, BadTokens> {
        Self::load_unless_read(path, &Arc::default()).await
    }

    /// `reading` is set while a thread reads, which may be for ever.
    async fn load_unless_read(path: &Path, reading: &Arc<AtomicBool>) -> Result<Self, BadTokens> {
        if reading.swap(true, Ordering::AcqRel) {
            return Err(BadTokens::Silent);
        }
        let (done, loaded) = oneshot::channel();
        let (path, reading) = (path.to_owned(), Arc::clone(reading));
        // A thread of its own, not one of the runtime's: these are waited for at the end.
        std::thread::Builder::new().name("tokens".into()).spawn(move || {
            let loaded = Self::read(&path);
            reading.store(false, Ordering::Release);
            let _ = done.send(loaded);
        })?;
        timeout(PATIENCE, loaded)
            .await
            .map_or(Err(BadTokens::Silent), |loaded| loaded.unwrap_or(Err(BadTokens::Silent)))
    }

    fn read(path: &Path) -> Result<Self, BadTokens> {
        let file = fs::File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_file() && meta.permissions().mode() & 0o004 != 0 {
            log::warn!("everybody on this machine can read the tokens file {}: chmod 600 it", path.display());
        }
        let mut text = Vec::new();
        // Not by its length: what is no regular file has none.
        if file.take(MAX_FILE + 1).read_to_end(&mut text)? as u64 > MAX_FILE {
            return Err(BadTokens::TooLarge);
        }
        Self::parse(&String::from_utf8(text).map_err(|_| BadTokens::NotText)?)
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, BadTokens> {
        let mut entries: Vec<([u8; 32], Arc<str>)> = Vec::new();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (digest, name) = entry(line).map_err(|problem| BadTokens::Line { line: at + 1, problem })?;
            if entries.iter().any(|(known, _)| *known == digest) {
                return Err(BadTokens::Line { line: at + 1, problem: "this token is there twice" });
            }
            entries.push((digest, name));
        }
        if entries.is_empty() { Err(BadTokens::Empty) } else { Ok(Self { entries }) }
    }

    /// The name of who has this token.
    pub fn owner(&self, token: &[u8]) -> Option<Arc<str>> {
        self.owner_of(&Sha256::digest(token).into())
    }

    fn owner_of(&self, digest: &[u8; 32]) -> Option<Arc<str>> {
        let (mut found, mut at) = (Choice::from(0), 0_u32);
        for (index, (known, _)) in (0_u32..).zip(&self.entries) {
            let same = known.ct_eq(digest);
            at.conditional_assign(&index, same);
            found |= same;
        }
        bool::from(found).then(|| Arc::clone(&self.entries[at as usize].1))
    }
}

/// The digest and the name of one line.
fn entry(line: &str) -> Result<([u8; 32], Arc<str>), &'static str> {
    let (name, token) = match line.split_once(':') {
        Some((name, token)) => (Some(name.trim()), token.trim()),
        None => (None, line),
    };
    // A token is also sent as a subprotocol's name, which is an RFC 7230 token.
    if token.is_empty() || token.len() > MAX_LEN || !token.bytes().all(is_token_char) {
        return Err("a token has 1 to 256 of A-Z a-z 0-9 and !#$%&'*+-.^_`|~");
    }
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let name = match name {
        None => format!("token-{}", hex(&digest[..6])).into(),
        Some(name) if name.is_empty() || name.len() > MAX_LEN => {
            return Err("a name has 1 to 256 characters");
        }
        Some(name) if name.chars().any(char::is_control) => {
            return Err("a name has no control characters");
        }
        Some(name) => name.into(),
    };
    Ok((digest, name))
}

/// RFC 7230, `tchar`.
pub(super) fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Tokens that can be replaced while the server runs (SIGHUP).
#[derive(Debug)]
pub struct TokenStore {
    tokens: watch::Sender<Arc<Tokens>>,
    /// A thread reads the file.
    reading: Arc<AtomicBool>,
}

/// What somebody came in with: good until the tokens say otherwise.
#[derive(Debug)]
pub(super) struct Pass {
    digest: [u8; 32],
    owner: Arc<str>,
    tokens: watch::Receiver<Arc<Tokens>>,
}

impl Pass {
    /// The name of who has it.
    pub(super) fn owner(&self) -> Arc<str> {
        Arc::clone(&self.owner)
    }

    /// Waits until the token is no longer there, or is somebody else's.
    pub(super) async fn revoked(mut self) {
        while self.tokens.changed().await.is_ok() {
            let tokens = Arc::clone(&self.tokens.borrow_and_update());
            if tokens.owner_of(&self.digest).as_ref() != Some(&self.owner) {
                return;
            }
        }
        // The store is gone, and with it whoever could change anything.
        std::future::pending::<()>().await;
    }
}

impl TokenStore {
    /// Begins with these.
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens: watch::Sender::new(Arc::new(tokens)), reading: Arc::default() }
    }

    /// Reads the file again; the log says what came of it. A bad one changes nothing.
    pub async fn reload(&self, path: &Path) {
        match Tokens::load_unless_read(path, &self.reading).await.map(|new| self.replace(new)) {
            Ok(()) => log::info!("tokens read again"),
            Err(problem) => log::error!("the tokens stay as they were: {problem}"),
        }
    }

    /// From now on only these count. Connections whose token is not among them, or under another name, are closed.
    pub fn replace(&self, tokens: Tokens) {
        self.tokens.send_replace(Arc::new(tokens));
    }

    /// The name of who has this token.
    pub fn owner(&self, token: &[u8]) -> Option<Arc<str>> {
        let tokens = Arc::clone(&self.tokens.borrow());
        tokens.owner(token)
    }

    /// Lets in who has this token.
    pub(super) fn admit(&self, token: &[u8]) -> Option<Pass> {
        // In this order: what changes after the look is seen as a change.
        let mut receiver = self.tokens.subscribe();
        let tokens = Arc::clone(&receiver.borrow_and_update());
        let digest = Sha256::digest(token).into();
        Some(Pass { owner: tokens.owner_of(&digest)?, digest, tokens: receiver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bare_tokens() {
        let tokens = Tokens::parse("# ours\n\nalice: s3cret \nbob:other\r\nalone\nbob:second\n").unwrap();
        assert_eq!(tokens.owner(b"s3cret").unwrap().as_ref(), "alice");
        assert_eq!(tokens.owner(b"other").unwrap(), tokens.owner(b"second").unwrap());
        // The first 12 digits of sha256("alone").
        let alone = tokens.owner(b"alone").unwrap();
        assert!(alone.starts_with("token-") && alone.len() == 18 && !alone.contains("alone"), "{alone}");
        assert_eq!(alone, Tokens::parse("alone").unwrap().owner(b"alone").unwrap());
        for wrong in [&b""[..], b"s3cre", b"s3cret ", b"alice", b"alice:s3cret", b"\xff"] {
            assert!(tokens.owner(wrong).is_none());
        }
    }

    #[test]
    fn errors_name_the_line_and_never_the_token() {
        for (text, line) in [
            ("ok\nname:\n", 2),
            (":secret\n", 1),
            ("a:sec ret", 1),
            ("a:sécret", 1),
            ("a:secret\nb:secret", 2),
            ("a:sec:ret", 1),
        ] {
            let error = Tokens::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line} ")), "{error}");
            assert!(!error.contains("sec"), "{error}");
        }
        assert!(matches!(Tokens::parse("# none\n"), Err(BadTokens::Empty)));
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_name() {
        let tokens = Tokens::parse("\u{feff}alice:s3cret\n").unwrap();
        assert_eq!(tokens.owner(b"s3cret").unwrap().as_ref(), "alice");
        assert!(Tokens::parse("\u{feff}s3cret").unwrap().owner(b"s3cret").is_some());
    }

    /// The task that read it heard no signal any more, and the process could not end.
    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_nobody_writes_to_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let store = TokenStore::new(Tokens::parse("a:one").unwrap());
        for _ in 0..3 {
            store.reload(&path).await;
        }
        assert!(store.owner(b"one").is_some() && store.reading.load(Ordering::Acquire));
        // Whoever waits for it gets what is written; then it can be read again.
        fs::write(&path, "a:two").unwrap();
        while store.reading.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a:three").unwrap();
        tokio::time::resume();
        store.reload(&path).await;
        assert!(store.owner(b"three").is_some());
    }

    #[tokio::test]
    async fn files_are_loaded_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert!(matches!(Tokens::load(&path).await, Err(BadTokens::Io(_))));
        fs::write(&path, "a:one").unwrap();
        let store = TokenStore::new(Tokens::load(&path).await.unwrap());
        assert!(store.owner(b"one").is_some());
        fs::write(&path, "a:two").unwrap();
        store.replace(Tokens::load(&path).await.unwrap());
        assert!(store.owner(b"one").is_none() && store.owner(b"two").is_some());
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(matches!(Tokens::load(&path).await, Err(BadTokens::NotText)));
        fs::write(&path, "#".repeat(1 + (1 << 20))).unwrap();
        assert!(matches!(Tokens::load(&path).await, Err(BadTokens::TooLarge)));
        assert!(!format!("{store:?}").contains("two"));
    }
}
