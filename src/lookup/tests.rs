use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio_util::task::TaskTracker;

use super::{AT_ONCE, Found, Lookup, NoDirectory, PATIENCE};

/// A file system of directories, in which all below `/dead` hangs until it is released.
#[derive(Default)]
struct Mount {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    is_alive: bool,
    /// How often something that hangs was asked for.
    hung: usize,
}

impl Mount {
    fn lookup() -> (Arc<Self>, Lookup) {
        let mount = Arc::new(Self::default());
        let asked = Arc::clone(&mount);
        (mount, Lookup::with(move |path| asked.answer(path)))
    }

    fn answer(&self, path: &Path) -> Found {
        if path.starts_with("/dead") && path != Path::new("/dead") {
            let mut state = self.state.lock();
            state.hung += 1;
            while !state.is_alive {
                self.released.wait(&mut state);
            }
        }
        if path == Path::new("/way") { Found::Link("/dead/a".into()) } else { Found::Directory }
    }

    fn release(&self) {
        self.state.lock().is_alive = true;
        self.released.notify_all();
    }

    async fn hung(&self, expected: usize) {
        while self.state.lock().hung < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.state.lock().hung, expected);
    }
}

/// Sixteen looks at one dead directory held up everybody, and told them that theirs was none.
#[tokio::test]
async fn a_directory_that_hangs_costs_one_thread_and_holds_up_nobody_else() {
    let (mount, lookup) = Mount::lookup();
    let mut hanging = Vec::new();
    // By the same name, by another way, and further down.
    for path in ["/dead/a", "/way", "/dead/a/b", "/x/../dead/a"].iter().cycle().take(4 * AT_ONCE) {
        let lookup = lookup.clone();
        hanging.push(TaskTracker::new().spawn(async move { lookup.directory(Path::new(path)).await }));
    }
    mount.hung(1).await;
    assert_eq!(lookup.directory(Path::new("/alive/b")).await, Ok(PathBuf::from("/alive/b")));
    assert_eq!(lookup.directory(Path::new("/dead")).await, Ok(PathBuf::from("/dead")));
    mount.hung(1).await;
    mount.release();
    for hanging in hanging {
        assert!(hanging.await.unwrap().is_ok());
    }
    assert!(lookup.silent().is_empty());
}

/// Many names of one dead directory: so many threads, and no more.
#[tokio::test]
async fn what_hangs_in_one_directory_is_bounded_there() {
    let (mount, lookup) = Mount::lookup();
    let mut hanging = Vec::new();
    for n in 0..2 * AT_ONCE {
        let lookup = lookup.clone();
        hanging.push(
            TaskTracker::new()
                .spawn(async move { lookup.directory(&PathBuf::from(format!("/dead/{n}"))).await }),
        );
    }
    mount.hung(AT_ONCE).await;
    assert!(lookup.directory(Path::new("/alive")).await.is_ok());
    mount.release();
    for hanging in hanging {
        assert!(hanging.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_and_what_is_silent_is_named() {
    let (mount, lookup) = Mount::lookup();
    let mut waiting = Box::pin(lookup.directory(Path::new("/dead/a")));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    // Up to the thread that hangs, which the paused clock does not wait for.
    while mount.state.lock().hung == 0 {
        std::thread::yield_now();
        assert!(futures_util::poll!(&mut waiting).is_pending());
    }
    tokio::time::advance(PATIENCE).await;
    assert_eq!(waiting.await, Err(NoDirectory::Silent));
    assert!(lookup.shared.asked.lock().contains_key(Path::new("/dead/a")), "it still has not answered");
    mount.release();
}

#[tokio::test]
async fn paths_lead_where_the_system_says() {
    let dir = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(dir.path()).unwrap();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("file"), "").unwrap();
    for (link, target) in
        [("to-b", "a/./b"), ("up", "a/b/../../a"), ("loop", "loop"), ("far", "/"), ("none", "x")]
    {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    std::os::unix::fs::symlink(root.join("up"), root.join("a/b/absolute")).unwrap();
    let lookup = Lookup::new();
    for path in ["a", "a/b/", "to-b", "to-b/..", "up/b", "a/b/absolute/b", "far", ".", "a/../../../../.."] {
        let path = root.join(path);
        assert_eq!(
            lookup.directory(&path).await.ok(),
            std::fs::canonicalize(&path).ok(),
            "{}",
            path.display()
        );
    }
    for path in ["file", "missing", "loop", "none", "file/x", "missing/.."] {
        assert_eq!(lookup.directory(&root.join(path)).await, Err(NoDirectory::Missing), "{path}");
    }
}
