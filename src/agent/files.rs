//! Private files of one agent: what must not stand on a command line that every user of the machine can read.
//!
//! May assume that the directory belongs to this gateway. Must not know what is in the files. Blocking.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::getuid;

use super::marker::{Instance, Marker};

/// In memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct PrivateFile {
    path: PathBuf,
}

impl PrivateFile {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl PrivateFile {
    /// Writes a new file that only this user can read. An old one of that name is replaced, never followed.
    pub(super) fn write(path: PathBuf, content: &[u8]) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let guard = Self { path };
        file.write_all(content)?;
        Ok(guard)
    }
}

/// Writes one into `dir`, or elsewhere while there is no room: they are small, and an agent must start all the same.
pub(super) fn write(dir: &Path, marker: &Marker, name: &str, content: &[u8]) -> io::Result<PrivateFile> {
    let problem = match PrivateFile::write(path(dir, marker, name), content) {
        Err(problem) if is_full(&problem) => problem,
        written => return written,
    };
    for spare in spares(marker.instance()) {
        if own(&spare).is_ok()
            && let Ok(file) = PrivateFile::write(path(&spare, marker, name), content)
        {
            log::warn!("{}: {problem}; an agent's private file is in {}", dir.display(), spare.display());
            return Ok(file);
        }
    }
    Err(problem)
}

fn is_full(problem: &io::Error) -> bool {
    matches!(
        problem.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Where they are while there is no room in their place.
fn spares(instance: &str) -> [PathBuf; 2] {
    let name = format!("claude-ws-{instance}");
    [Path::new(MEMORY).join(&name), std::env::temp_dir().join(name)]
}

/// Makes the directory, or takes it if it is this user's and nobody else may enter: others may write beside it.
fn own(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let about = fs::symlink_metadata(dir)?;
    // Neither group nor others may do anything with it.
    let is_own = about.is_dir() && about.uid() == getuid().as_raw() && about.mode().trailing_zeros() >= 6;
    if is_own { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("cannot remove a private file of an agent: {error}");
        }
    }
}

/// Where an agent's private file called `name` is.
pub(super) fn path(dir: &Path, marker: &Marker, name: &str) -> PathBuf {
    let stem = marker.to_string().replace(':', ".");
    dir.join(format!("{stem}.{name}"))
}

/// Removes the private files of earlier runs, those that are elsewhere too. What cannot be removed stays: there is nobody to tell but
/// the log.
pub(super) fn remove_left_over(dir: &Path, instance: &Instance) {
    remove_from(dir, instance);
    for spare in spares(instance.id()) {
        // Not ours: not our business. Mostly there is none.
        if spare.exists() && own(&spare).is_ok() {
            remove_from(&spare, instance);
            let _ = fs::remove_dir(&spare);
        }
    }
}

fn remove_from(dir: &Path, instance: &Instance) {
    let prefix = format!("{}.", instance.id());
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix)
            && let Err(error) = fs::remove_file(entry.path())
        {
            log::warn!("cannot remove a private file that an agent left: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_private_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::new("files").unwrap();
        let scratch = dir.path().join("scratch");
        let path = path(&scratch, &instance.marker(), "mcp.json");
        let file = PrivateFile::write(path.clone(), b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&scratch).unwrap().permissions().mode() & 0o777, 0o700);
        drop(file);
        assert!(!path.exists());
    }

    /// A full disk kept every agent from starting.
    #[test]
    fn where_there_is_no_room_it_is_elsewhere() {
        let instance = Instance::new(&uuid::Uuid::new_v4().to_string()).unwrap();
        let marker = instance.marker();
        // It takes no byte, and is never full by root's leave either.
        let full = Path::new("/dev/full");
        let written = fs::OpenOptions::new().write(true).open(full).unwrap().write_all(b"x").unwrap_err();
        assert!(is_full(&written), "{written}");
        let [spare, other] = spares(instance.id());
        own(&spare).unwrap();
        own(&spare).unwrap();
        let file = PrivateFile::write(path(&spare, &marker, "mcp.json"), b"secret").unwrap();
        std::mem::forget(file);
        remove_left_over(Path::new("/nonexistent"), &instance);
        assert!(!spare.exists() && !other.exists());
        // Somebody was there first.
        fs::create_dir(&spare).unwrap();
        fs::set_permissions(&spare, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(own(&spare).is_err());
        fs::remove_dir(&spare).unwrap();
        std::os::unix::fs::symlink("/tmp", &spare).unwrap();
        assert!(own(&spare).is_err());
        fs::remove_file(&spare).unwrap();
    }

    #[test]
    fn what_an_earlier_run_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::new("files").unwrap();
        let own = path(dir.path(), &instance.marker(), "mcp.json");
        let foreign = dir.path().join("files2.1.mcp.json");
        fs::write(&own, "x").unwrap();
        fs::write(&foreign, "x").unwrap();
        remove_left_over(dir.path(), &instance);
        assert!(!own.exists());
        assert!(foreign.exists());
    }
}
