//! Where a stored session may work when it is taken up again.

use std::pin::Pin;

use super::found::OpenError;
use super::record::Record;
use super::state::Birth;

/// Why a directory is not to be worked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDirectory {
    /// It is gone, or not under a workspace root now.
    Gone,
    /// Its file system does not answer: nobody knows.
    Silent,
}

/// Resolves directories, each if sessions may work there. In the order of the names.
pub type Directories<'a> = dyn Fn(Vec<String>) -> Resolved + Sync + 'a;

/// What comes of it.
pub type Resolved = Pin<Box<dyn Future<Output = Vec<Result<String, NoDirectory>>> + Send>>;

/// The directories of a stored session, held to what the operator allows now and to where symlinks lead now.
///
/// Nothing is dropped because a file system is silent: the session waits for it, as it is.
pub(super) async fn hold_to_roots(birth: &mut Birth, directories: &Directories<'_>) -> Result<(), OpenError> {
    let Record { config, rules, .. } = &mut birth.record;
    let named = config.cwd.iter().chain(&config.add_dirs).chain(&rules.directories);
    let resolved = directories(named.cloned().collect()).await;
    if resolved.contains(&Err(NoDirectory::Silent)) {
        log::warn!("session {}: not woken up: the file system of its directories does not answer", birth.id);
        return Err(OpenError::Silent);
    }
    let mut resolved = resolved.into_iter();
    let mut resolve = || resolved.next().and_then(Result::ok);
    if let Some(cwd) = &mut config.cwd {
        *cwd = resolve().ok_or_else(|| {
            log::warn!("session {}: not woken up: {cwd:?} is gone or not under a workspace root", birth.id);
            OpenError::Directory
        })?;
    }
    for list in [&mut config.add_dirs, &mut rules.directories] {
        list.retain_mut(|path| {
            let Some(resolved) = resolve() else {
                log::warn!("session {}: {path:?} is gone or not under a workspace root; dropped", birth.id);
                return false;
            };
            *path = resolved;
            true
        });
    }
    Ok(())
}
