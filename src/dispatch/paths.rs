//! Where sessions may work: under the workspace roots, after symlinks are resolved.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a file system may take. A hung one (a network's) must stop nobody but who named it, and also them not for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages whose paths are looked at at once; more wait. As many threads may hang in a file system that does not answer.
const AT_ONCE: usize = 16;

/// `--workspace-root`: directories under which every working directory must lie.
#[derive(Debug, Clone)]
pub struct WorkspaceRoots {
    first: String,
    roots: Arc<[PathBuf]>,
    /// Held by who looks at paths, until the file system has answered.
    places: Arc<Semaphore>,
}

/// A root that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum BadRoot {
    /// It cannot be resolved.
    #[error("workspace root {0}: {1}; make it, or name another with --workspace-root")]
    Unusable(PathBuf, std::io::Error),
    /// It is no directory.
    #[error("workspace root {0} is not a directory; name one with --workspace-root")]
    NotADirectory(PathBuf),
    /// JSON cannot name it.
    #[error("workspace root {0} is not UTF-8")]
    NotUtf8(PathBuf),
    /// There is none.
    #[error("no workspace root")]
    None,
}

/// Why a client's path is refused; for the client, who is told which roots there are ([`WorkspaceRoots::names`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Relative.
    #[error("must be an absolute path")]
    Relative,
    /// Missing, no directory, or outside: which of these is not for everybody to know.
    #[error("is not a directory under the server's workspace roots (--workspace-root)")]
    NotAllowed,
    /// It is not known.
    #[error("its file system does not answer; try again")]
    Silent,
}

impl WorkspaceRoots {
    /// Resolves the roots. The first one is where sessions work that name no directory.
    pub fn new(roots: &[PathBuf]) -> Result<Self, BadRoot> {
        let roots: Vec<PathBuf> = roots.iter().map(|root| resolved_root(root)).collect::<Result<_, _>>()?;
        let first = roots.first().ok_or(BadRoot::None)?;
        let first = first.to_str().ok_or_else(|| BadRoot::NotUtf8(first.clone()))?.to_owned();
        Ok(Self { first, roots: roots.into(), places: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// The first root.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The roots, for people.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
        names.join(", ")
    }

    /// The directory behind each path, symlinks resolved, if it lies under a root. In the order of the paths.
    ///
    /// The calling thread does not wait for the file system; the caller does, but not for ever.
    pub async fn resolve(&self, paths: Vec<String>) -> Vec<Result<String, BadPath>> {
        if paths.is_empty() {
            return Vec::new();
        }
        let (count, this) = (paths.len(), self.clone());
        let look = move || paths.iter().map(|path| this.resolve_here(path)).collect();
        self.aside(look).await.unwrap_or_else(|| vec![Err(BadPath::Silent); count])
    }

    /// Has a thread for such things do `work`. None: it takes too long; what it does then is of no concern any more.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let places = Arc::clone(&self.places);
        let done = async move {
            let place = places.acquire_owned().await.ok()?;
            let work = move || {
                let done = work();
                drop(place);
                done
            };
            tokio::task::spawn_blocking(work).await.ok()
        };
        timeout(PATIENCE, done).await.ok().flatten()
    }

    fn resolve_here(&self, path: &str) -> Result<String, BadPath> {
        if !Path::new(path).is_absolute() {
            return Err(BadPath::Relative);
        }
        let resolved = fs::canonicalize(path).map_err(|_| BadPath::NotAllowed)?;
        if !resolved.is_dir() || !self.roots.iter().any(|root| resolved.starts_with(root)) {
            return Err(BadPath::NotAllowed);
        }
        resolved.into_os_string().into_string().map_err(|_| BadPath::NotAllowed)
    }
}

fn resolved_root(root: &Path) -> Result<PathBuf, BadRoot> {
    let resolved = fs::canonicalize(root).map_err(|problem| BadRoot::Unusable(root.to_owned(), problem))?;
    if resolved.is_dir() { Ok(resolved) } else { Err(BadRoot::NotADirectory(root.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, BadPath, PATIENCE, WorkspaceRoots};

    #[test]
    fn only_directories_under_a_root_are_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let outside = dir.path().join("root-but-not-it");
        std::fs::create_dir_all(root.join("inside")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("way-out")).unwrap();
        std::os::unix::fs::symlink(root.join("inside"), root.join("way-in")).unwrap();
        let roots = WorkspaceRoots::new(std::slice::from_ref(&root)).unwrap();
        let resolve = |path: &std::path::Path| roots.resolve_here(path.to_str().unwrap());

        let inside = std::fs::canonicalize(root.join("inside")).unwrap();
        assert_eq!(resolve(&root.join("inside")), Ok(inside.to_str().unwrap().to_owned()));
        assert_eq!(resolve(&root.join("way-in")), Ok(inside.to_str().unwrap().to_owned()));
        assert_eq!(resolve(&root.join("inside/../../root-but-not-it")), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&outside), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&root.join("way-out")), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&root.join("file")), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&root.join("missing")), Err(BadPath::NotAllowed));
        assert_eq!(roots.resolve_here("inside"), Err(BadPath::Relative));
    }

    /// It was waited for by a thread that a hundred other connections needed.
    #[tokio::test(start_paused = true)]
    async fn a_file_system_that_hangs_keeps_nobody_else_and_has_so_much_time() {
        let dir = tempfile::tempdir().unwrap();
        let roots = WorkspaceRoots::new(&[dir.path().to_owned()]).unwrap();
        let (answer, hung) = std::sync::mpsc::sync_channel::<()>(0);
        let hung = std::sync::Arc::new(parking_lot::Mutex::new(hung));
        let mut hanging = Vec::new();
        for _ in 0..AT_ONCE {
            let hung = std::sync::Arc::clone(&hung);
            hanging.push(Box::pin(roots.aside(move || hung.lock().recv().is_ok())));
            // This thread goes on.
            assert!(futures_util::poll!(hanging.last_mut().unwrap()).is_pending());
        }
        let mut next = Box::pin(roots.resolve(vec![dir.path().to_str().unwrap().to_owned()]));
        assert!(futures_util::poll!(&mut next).is_pending(), "there are no more places");
        tokio::time::advance(PATIENCE).await;
        assert_eq!(next.await, [Err(BadPath::Silent)]);
        for hanging in hanging {
            assert_eq!(hanging.await, None);
        }
        for _ in 0..AT_ONCE {
            answer.send(()).unwrap();
        }
        let path = std::fs::canonicalize(dir.path()).unwrap().to_str().unwrap().to_owned();
        tokio::time::resume();
        assert_eq!(roots.resolve(vec![path.clone()]).await, [Ok(path)]);
    }
}
