//! Private files of one agent: what must not stand on a command line that every user of the machine can read.
//!
//! May assume that the directory belongs to this gateway. Must not know what is in the files. Blocking.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::marker::{Instance, Marker};

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct PrivateFile {
    path: PathBuf,
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

/// Removes the private files of earlier runs. What cannot be removed stays: there is nobody to tell but the log.
pub(super) fn remove_left_over(dir: &Path, instance: &Instance) {
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
