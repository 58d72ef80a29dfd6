//! The data directory: used by one gateway at a time, and named for good.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A directory that this process uses alone until the value is dropped (or the process ends, however it ends).
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    instance_id: Uuid,
    /// Hold the lock.
    _locks: (File, Option<File>),
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made, or something in it cannot be read or written.
    #[error("cannot keep sessions in {}: {source}; choose another place with --data-dir, or --ephemeral", path.display())]
    Io {
        /// What failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another gateway uses it. Stop that one, or give this one a directory of its own.
    #[error(
        "data directory {} is in use by another gateway{}: stop that one, or choose another with --data-dir",
        path.display(),
        if pid.is_empty() { String::new() } else { format!(" (process {pid})") }
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Process id of the other one, where it could be read.
        pid: String,
    },
}

impl DataDir {
    /// Makes the directory if need be (mode 0700) and takes it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))?;
        let mode = fs::metadata(path).map_err(failed(path))?.permissions().mode();
        if mode & 0o077 != 0 {
            ::log::warn!(
                "data directory {} can be looked into by other users (mode {:o}): chmod 700 it",
                path.display(),
                mode & 0o777
            );
        }
        let locks = (lock(path)?, lock_inode(path)?);
        let id_path = path.join("instance-id");
        let instance_id = instance_id(&id_path).map_err(failed(&id_path))?;
        Ok(Self { path: path.to_owned(), instance_id, _locks: locks })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh name for this run of the gateway, among others that share a store; and the last run's, which is over for certain.
    pub fn new_node(&self) -> io::Result<(String, Option<String>)> {
        let path = self.path.join("node");
        let before = match fs::read_to_string(&path) {
            Ok(text) => Uuid::try_parse(text.trim()).ok().map(|id| id.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let node = Uuid::new_v4().to_string();
        // Renamed into place, so that a crash leaves no half of a name.
        let new = path.with_extension("new");
        if let Err(problem) = fs::write(&new, format!("{node}\n")).and_then(|()| fs::rename(&new, &path)) {
            ::log::warn!(
                "{}: {problem}; after a crash this gateway's sessions will have to wait for its lease to end",
                path.display()
            );
        }
        Ok((node, before))
    }

    /// The same for as long as the directory lives: marks what belongs to the gateway of this directory, over restarts.
    pub fn instance_id(&self) -> Uuid {
        self.instance_id
    }
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join("lock");
    let failed = |source| DataDirError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only to make the message better. Digits only: the file could hold anything.
            let _ = file.take(20).read_to_string(&mut pid);
            pid.retain(|c| c.is_ascii_digit());
            return Err(DataDirError::InUse { path: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // For people. On a full disk there is no room for it, and that is all.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// The directory itself, which stays locked when somebody deletes the file with the lock. `None`: such a file system (NFS) locks no
/// directories.
fn lock_inode(dir: &Path) -> Result<Option<File>, DataDirError> {
    let Ok(file) = File::open(dir) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(DataDirError::InUse { path: dir.to_owned(), pid: String::new() })
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Under the directory's lock.
fn instance_id(path: &Path) -> io::Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::try_parse(text.trim()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "not an instance id; remove the file to get a new one")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            // Renamed into place, so that a crash leaves no half of an id.
            let new = path.with_extension("new");
            fs::write(&new, format!("{id}\n"))?;
            fs::rename(&new, path)?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}
