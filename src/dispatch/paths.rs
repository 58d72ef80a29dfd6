//! Where sessions may work: under the workspace roots, after symlinks are resolved.

use std::fs;
use std::path::{Path, PathBuf};

/// `--workspace-root`: directories under which every working directory must lie.
#[derive(Debug, Clone)]
pub struct WorkspaceRoots {
    first: String,
    roots: Vec<PathBuf>,
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

/// Why a client's path is refused; for the client, so without a path of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Relative.
    #[error("must be an absolute path")]
    Relative,
    /// Missing, no directory, or outside: which of these is not for everybody to know.
    #[error("is not a directory under the server's workspace roots (--workspace-root)")]
    NotAllowed,
}

impl WorkspaceRoots {
    /// Resolves the roots. The first one is where sessions work that name no directory.
    pub fn new(roots: &[PathBuf]) -> Result<Self, BadRoot> {
        let roots: Vec<PathBuf> = roots.iter().map(|root| resolved_root(root)).collect::<Result<_, _>>()?;
        let first = roots.first().ok_or(BadRoot::None)?;
        let first = first.to_str().ok_or_else(|| BadRoot::NotUtf8(first.clone()))?.to_owned();
        Ok(Self { first, roots })
    }

    /// The first root.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The directory behind `path`, symlinks resolved, if it lies under a root.
    pub fn resolve(&self, path: &str) -> Result<String, BadPath> {
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
    use super::{BadPath, WorkspaceRoots};

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
        let resolve = |path: &std::path::Path| roots.resolve(path.to_str().unwrap());

        let inside = std::fs::canonicalize(root.join("inside")).unwrap();
        assert_eq!(resolve(&root.join("inside")), Ok(inside.to_str().unwrap().to_owned()));
        assert_eq!(resolve(&root.join("way-in")), Ok(inside.to_str().unwrap().to_owned()));
        assert_eq!(resolve(&root.join("inside/../../root-but-not-it")), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&outside), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&root.join("way-out")), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&root.join("file")), Err(BadPath::NotAllowed));
        assert_eq!(resolve(&root.join("missing")), Err(BadPath::NotAllowed));
        assert_eq!(roots.resolve("inside"), Err(BadPath::Relative));
    }
}
