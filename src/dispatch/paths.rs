//! Where sessions may work: under the workspace roots, after symlinks are resolved.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::lookup::{Lookup, NoDirectory as Nowhere};

/// `--workspace-root`: directories under which every working directory must lie.
#[derive(Debug, Clone)]
pub struct WorkspaceRoots {
    first: String,
    roots: Arc<[PathBuf]>,
    lookup: Lookup,
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
    ///
    /// `lookup`: whom to ask for what clients name.
    pub fn new(roots: &[PathBuf], lookup: Lookup) -> Result<Self, BadRoot> {
        let roots: Vec<PathBuf> = roots.iter().map(|root| resolved_root(root)).collect::<Result<_, _>>()?;
        let first = roots.first().ok_or(BadRoot::None)?;
        let first = first.to_str().ok_or_else(|| BadRoot::NotUtf8(first.clone()))?.to_owned();
        Ok(Self { first, roots: roots.into(), lookup })
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

    /// What is known of file systems that do not answer; names no path. `Err`: no session can be started there where most are.
    pub fn silence(&self) -> Result<Option<String>, &'static str> {
        let silent = self.lookup.silent();
        if self.roots.iter().all(|root| silent.iter().any(|path| root.starts_with(path))) {
            return Err("the file system of the workspace does not answer (--workspace-root)");
        }
        Ok(match silent.len() {
            0 => None,
            1 => Some("one directory does not answer: no session can be started there".to_owned()),
            more => Some(format!("{more} directories do not answer: no session can be started there")),
        })
    }

    /// All of them, resolved.
    pub fn all(&self) -> Arc<[PathBuf]> {
        Arc::clone(&self.roots)
    }

    /// The directory behind each path, symlinks resolved, if it lies under a root. In the order of the paths.
    ///
    /// No thread of the runtime waits for the file system; the caller does, but not for ever, and only for its own.
    pub async fn resolve(&self, paths: Vec<String>) -> Vec<Result<String, BadPath>> {
        join_all(paths.iter().map(|path| self.resolve_one(path))).await
    }

    async fn resolve_one(&self, path: &str) -> Result<String, BadPath> {
        if !Path::new(path).is_absolute() {
            return Err(BadPath::Relative);
        }
        let resolved = self.lookup.directory(Path::new(path)).await.map_err(|problem| match problem {
            Nowhere::Missing => BadPath::NotAllowed,
            Nowhere::Silent => BadPath::Silent,
        })?;
        if !self.roots.iter().any(|root| resolved.starts_with(root)) {
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
    use super::{BadPath, WorkspaceRoots};
    use crate::lookup::Lookup;

    #[tokio::test]
    async fn only_directories_under_a_root_are_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let outside = dir.path().join("root-but-not-it");
        std::fs::create_dir_all(root.join("inside")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("way-out")).unwrap();
        std::os::unix::fs::symlink(root.join("inside"), root.join("way-in")).unwrap();
        let roots = WorkspaceRoots::new(std::slice::from_ref(&root), Lookup::new()).unwrap();
        let inside = std::fs::canonicalize(root.join("inside")).unwrap().to_str().unwrap().to_owned();
        let named = [
            (root.join("inside"), Ok(inside.clone())),
            (root.join("way-in"), Ok(inside)),
            (root.join("inside/../../root-but-not-it"), Err(BadPath::NotAllowed)),
            (outside, Err(BadPath::NotAllowed)),
            (root.join("way-out"), Err(BadPath::NotAllowed)),
            (root.join("file"), Err(BadPath::NotAllowed)),
            (root.join("missing"), Err(BadPath::NotAllowed)),
            ("inside".into(), Err(BadPath::Relative)),
        ];
        let paths = named.iter().map(|(path, _)| path.to_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = named.into_iter().map(|(_, expected)| expected).collect();
        assert_eq!(roots.resolve(paths).await, expected);
    }
}
