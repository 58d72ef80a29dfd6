//! Where an agent works: the directory is opened before the process is started, looked at as what was opened, and entered by that.
//!
//! Between the message that named a directory and the start of an agent there, which may be months later, somebody may have put a
//! symbolic link in its place, to where no session may work. What is open cannot be exchanged any more.
//! May assume: the roots are resolved, and the directory's file system has just answered. Must not know who starts agents.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::launch::SpawnError;

/// A working directory that is open.
#[derive(Debug)]
pub(super) struct Workplace(OwnedFd);

impl Workplace {
    /// Opens it; what was opened must lie under a root, if there are any.
    pub(super) fn open(dir: &Path, roots: Option<&[PathBuf]>) -> Result<Self, SpawnError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|_| SpawnError::WorkingDirectory(dir.to_owned()))?;
        let this = Self(open);
        // Of what is not under its name any more the kernel says so behind the name.
        let is_inside = |roots| fs::read_link(this.path()).is_ok_and(|at| lies_under(&at, roots));
        if roots.is_none_or(is_inside) { Ok(this) } else { Err(SpawnError::Outside(dir.to_owned())) }
    }

    /// What the process is to enter: the directory that is open here, under whatever name. A new process has all that this one has open
    /// until it runs its program.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Whether a resolved path is one of the roots or below one.
pub(super) fn lies_under(at: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| at.starts_with(root))
}
