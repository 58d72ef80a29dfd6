//! From the configuration of a shared store to what the store takes.

use std::fs;

use crate::config::{Secret, SharedStore};
use crate::store::{RedisAddress, RedisOptions};

/// Reads the password's file. The error names flags, never what they say: that may be a secret.
pub(super) fn options(shared: &SharedStore) -> Result<RedisOptions, String> {
    let address = RedisAddress::parse(&shared.url.0).map_err(|problem| format!("--store: {problem}"))?;
    let password = match &shared.password_file {
        Some(path) => {
            let failed = |problem| format!("--redis-password-file {}: {problem}", path.display());
            let text = fs::read_to_string(path).map_err(failed)?;
            Some(text.trim_end_matches(['\n', '\r']).to_owned())
        }
        None => shared.password.clone().map(|Secret(password)| password),
    };
    Ok(RedisOptions {
        address: address.with(shared.user.clone(), password),
        ca_file: shared.ca_file.clone(),
        lease: shared.lease,
        name: shared.node_name.clone().unwrap_or_else(machine),
    })
}

/// Where it is, without secrets.
pub(super) fn shown(shared: &SharedStore) -> String {
    RedisAddress::parse(&shared.url.0).map_or_else(|_| "nowhere".to_owned(), |address| address.to_string())
}

fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shared(url: &str) -> SharedStore {
        SharedStore {
            url: Secret(url.to_owned()),
            user: None,
            password: Some(Secret("from-env".to_owned())),
            password_file: None,
            ca_file: None,
            lease: Duration::from_secs(10),
            node_name: None,
        }
    }

    #[test]
    fn the_password_comes_from_its_file_first() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        let with = |file| options(&SharedStore { password_file: file, ..shared("redis://me:url@h") });
        let expected =
            |password: &str| RedisAddress::parse(&format!("redis://me:{password}@h:6379/0")).unwrap();
        assert_eq!(with(None).unwrap().address, expected("from-env"));
        let problem = with(Some(file.clone())).unwrap_err();
        assert!(problem.starts_with("--redis-password-file"), "{problem}");
        fs::write(&file, "from-file\n").unwrap();
        let options = with(Some(file)).unwrap();
        assert_eq!(options.address, expected("from-file"));
        assert!(!format!("{options:?}").contains("from-file"), "{options:?}");
        assert!(!options.name.is_empty());
        assert_eq!(shown(&shared("redis://me:url@h")), "redis://me:***@h:6379/0");
    }

    #[test]
    fn a_bad_url_is_not_repeated() {
        let problem = options(&shared("redis://me:hunter2@")).unwrap_err();
        assert!(problem.starts_with("--store: ") && !problem.contains("hunter2"), "{problem}");
    }
}
