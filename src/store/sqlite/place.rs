//! Whether the file that is open is still the one that has the name.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The database and its write-ahead log, as they were opened.
#[derive(Debug)]
pub(super) struct FilePlace {
    files: Vec<(PathBuf, Identity)>,
}

type Identity = (u64, u64);

impl FilePlace {
    /// Where it is now: the files were just opened.
    pub(super) fn of(path: &Path) -> Self {
        let files = [path.to_owned(), path.with_extension("db-wal")];
        // One that cannot be looked at is not looked after.
        let known = files.into_iter().filter_map(|file| identity(&file).ok().map(|known| (file, known)));
        Self { files: known.collect() }
    }

    /// What somebody has done to it; `None`: nothing.
    pub(super) fn trouble(&self) -> Option<String> {
        self.files.iter().find_map(|(file, known)| {
            let what = match identity(file) {
                Ok(now) if now == *known => return None,
                Ok(_) => "was replaced".to_owned(),
                Err(problem) if problem.kind() == io::ErrorKind::NotFound => "was deleted".to_owned(),
                Err(problem) => format!("cannot be looked at ({problem})"),
            };
            Some(format!(
                "{} {what} under this gateway, which stores nothing any more: put back what was there, or start it again",
                file.display()
            ))
        })
    }
}

fn identity(file: &Path) -> io::Result<Identity> {
    fs::metadata(file).map(|about| (about.dev(), about.ino()))
}
