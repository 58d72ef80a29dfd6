//! Where the fake CLI is: for unit tests (`#[path]`) and integration tests alike.
//!
//! It is an example target, because those are built by a plain `cargo test`, checked by `clippy --all-targets`, and never
//! installed (a second `[[bin]]` would be); and `CARGO_BIN_EXE_…` is not there for unit tests anyway. A narrow run such
//! as `cargo test --lib` does not build examples, so it is built here when it is missing or older than its source.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The path of the fake CLI's binary, built if need be.
pub fn fake_claude() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // target/<profile>/deps/<test binary>
        let exe = std::env::current_exe().expect("the test binary has a path");
        let profile = exe.ancestors().nth(2).expect("a target directory");
        let path = profile.join("examples/fake_claude");
        if modified(&path) < newest_source() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["build", "--quiet", "--example", "fake_claude"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            if let Some(target) = profile.parent() {
                cargo.env("CARGO_TARGET_DIR", target);
            }
            assert!(cargo.status().expect("cargo can be started").success(), "the fake CLI does not build");
        }
        path
    })
}

fn newest_source() -> Option<SystemTime> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_claude");
    ["cli.rs", "speak.rs", "turn.rs"].into_iter().map(|name| modified(&dir.join(name))).max().flatten()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|data| data.modified()).ok()
}
