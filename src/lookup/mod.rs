//! Room: looks into file systems that may not answer (a dead mount of a network), so that nobody waits for another's.
//!
//! May assume: a look that hangs hangs its thread, and nothing can be done about that. Must not know: what the paths are for.
//!
//! A path is walked name by name, from the root down, symlinks followed, and each name is asked for by a thread of [`Workers`]. So
//! what hangs is known by its name: who asks for the same waits for the same answer and costs no further thread, and who asks for
//! something else is not held up. What may be under way is bounded in each directory ([`AT_ONCE`]) and, as the last resort, in all
//! ([`IN_ALL`]); who waits does so for [`PATIENCE`].

mod workers;

#[cfg(test)]
mod tests;

pub use workers::{Job, Workers};

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long one path may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Names of one directory that may be asked for at once; more wait for their turn.
pub const AT_ONCE: usize = 16;
/// Names in all that may be asked for at once: as many threads.
pub const IN_ALL: usize = 256;
/// Symlinks that one path may lead over, as Linux has it.
const LINKS: usize = 40;
/// Threads that wait for work when there is none.
const IDLE: usize = 4;
/// What has not answered for so long is told as not answering.
const SLOW: Duration = Duration::from_secs(2);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A directory.
    Directory,
    /// A symlink, and where it leads.
    Link(PathBuf),
    /// Something else.
    Other,
    /// Nothing, or nothing that this user may see.
    Missing,
    /// The file system could not say: a server that is away, no thread to ask with.
    Silent,
}

/// What an error says of a name. Only what is an answer says that there is nothing.
fn failed(error: &io::Error) -> Found {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
    let has = |errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    let is_answer = matches!(error.kind(), InvalidInput | NotADirectory | NotFound | PermissionDenied);
    let is_bad_name = has(rustix::io::Errno::LOOP) || has(rustix::io::Errno::NAMETOOLONG);
    if is_answer || is_bad_name { Found::Missing } else { Found::Silent }
}

/// Why a path leads to no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoDirectory {
    /// There is none.
    #[error("no directory")]
    Missing,
    /// Nobody knows: the file system does not answer.
    #[error("its file system does not answer")]
    Silent,
}

type Probe = dyn Fn(&Path) -> Found + Send + Sync;

/// Looks. Clones share what is under way.
#[derive(Clone)]
pub struct Lookup {
    shared: Arc<Shared>,
}

struct Shared {
    probe: Box<Probe>,
    workers: Arc<Workers>,
    asked: Mutex<HashMap<PathBuf, Asked>>,
    answered: Notify,
}

/// A name that somebody asked for and that has not answered yet.
struct Asked {
    since: Instant,
    answer: watch::Receiver<Option<Found>>,
}

impl Default for Lookup {
    fn default() -> Self {
        Self::new()
    }
}

impl Lookup {
    /// One that asks the file systems.
    pub fn new() -> Self {
        Self::with(|path| match fs::symlink_metadata(path) {
            Ok(about) if about.is_dir() => Found::Directory,
            Ok(about) if about.is_symlink() => {
                fs::read_link(path).map_or_else(|error| failed(&error), Found::Link)
            }
            Ok(_) => Found::Other,
            Err(error) => failed(&error),
        })
    }

    /// One that asks `probe`, which may block as long as it likes.
    pub fn with(probe: impl Fn(&Path) -> Found + Send + Sync + 'static) -> Self {
        let shared = Shared {
            probe: Box::new(probe),
            workers: Workers::new("lookup", IDLE),
            asked: Mutex::default(),
            answered: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The directory that `path`, which must be absolute, leads to.
    pub async fn directory(&self, path: &Path) -> Result<PathBuf, NoDirectory> {
        timeout(PATIENCE, self.walk(path)).await.unwrap_or(Err(NoDirectory::Silent))
    }

    /// Names that have not answered for some seconds.
    pub fn silent(&self) -> Vec<PathBuf> {
        let asked = self.shared.asked.lock();
        let silent = asked.iter().filter(|(_, asked)| asked.since.elapsed() >= SLOW);
        silent.map(|(path, _)| path.clone()).collect()
    }

    async fn walk(&self, path: &Path) -> Result<PathBuf, NoDirectory> {
        let mut at = PathBuf::from("/");
        let mut left = names(path);
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            match self.ask(&next).await {
                Found::Directory => at = next,
                Found::Link(target) if links < LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    let mut names = names(&target);
                    names.append(&mut left);
                    left = names;
                }
                Found::Silent => return Err(NoDirectory::Silent),
                Found::Link(_) | Found::Other | Found::Missing => return Err(NoDirectory::Missing),
            }
        }
        Ok(at)
    }

    /// Asks for one name, with all who ask for it now.
    async fn ask(&self, path: &Path) -> Found {
        loop {
            let mut answered = std::pin::pin!(self.shared.answered.notified());
            // From here on none is missed.
            answered.as_mut().enable();
            if let Some(mut answer) = self.begin(path) {
                return match answer.wait_for(Option::is_some).await {
                    Ok(found) => found.clone().unwrap_or(Found::Missing),
                    // Its thread broke down, or there was none to be had.
                    Err(_) => Found::Silent,
                };
            }
            answered.await;
        }
    }

    /// `None`: there are too many already.
    fn begin(&self, path: &Path) -> Option<watch::Receiver<Option<Found>>> {
        let mut asked = self.shared.asked.lock();
        if let Some(asked) = asked.get(path) {
            return Some(asked.answer.clone());
        }
        let beside = asked.keys().filter(|other| other.parent() == path.parent()).count();
        if beside >= AT_ONCE || asked.len() >= IN_ALL {
            return None;
        }
        let (told, answer) = watch::channel(None);
        asked.insert(path.to_owned(), Asked { since: Instant::now(), answer: answer.clone() });
        drop(asked);
        let done = Done { shared: Arc::clone(&self.shared), path: path.to_owned() };
        self.shared.workers.run(Box::new(move || {
            let found = (done.shared.probe)(&done.path);
            told.send_replace(Some(found));
            drop(done);
        }));
        Some(answer)
    }
}

/// Takes a name off the list of those that have not answered, however its work ended.
struct Done {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.shared.asked.lock().remove(&self.path);
        self.shared.answered.notify_waiters();
    }
}

fn names(path: &Path) -> VecDeque<std::ffi::OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("asked", &self.shared.asked.lock().len()).finish_non_exhaustive()
    }
}
