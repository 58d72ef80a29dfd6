//! `docs/reliability.md` names for each promise the tests that hold it. This one holds that they exist, where it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rust files under `dir`, by the modules of their path: `src/session/tests/rest.rs` is `session::tests::rest`.
fn modules(dir: &Path) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut left = vec![(dir.to_owned(), String::new())];
    while let Some((dir, name)) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let name = match (name.as_str(), stem) {
                (name, "mod" | "main" | "lib") => name.to_owned(),
                ("", stem) => stem.to_owned(),
                (name, stem) => format!("{name}::{stem}"),
            };
            if path.is_dir() {
                left.push((path, name));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.entry(name).or_insert_with(String::new).push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut modules_of: HashMap<&str, _> = ["rel", "it", "nodes"]
        .into_iter()
        .map(|name| (name, modules(&root.join("tests").join(name))))
        .collect();
    modules_of.insert("lib", modules(&root.join("src")));
    let text = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let mut named = 0;
    let mut missing = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let (suite, path) = match quoted.split_once(": ").or_else(|| quoted.split_once("::")) {
            Some((suite, path)) if modules_of.contains_key(suite) => (suite, path),
            _ => continue,
        };
        // The page says how it names them.
        if path.is_empty() || path == "x::y" || path.contains(['{', '*']) {
            continue;
        }
        named += 1;
        let modules = &modules_of[suite];
        let is_test = |(module, test): (&str, &str)| {
            let (name, end) = test.strip_suffix('…').map_or((test, "("), |begin| (begin, ""));
            modules.get(module).is_some_and(|text| text.contains(&format!("fn {name}{end}")))
        };
        let of_module =
            |prefix: &str| modules.keys().any(|name| format!("{name}::").starts_with(&format!("{prefix}::")));
        if !of_module(path) && !path.rsplit_once("::").is_some_and(is_test) {
            missing.push(quoted);
        }
    }
    assert!(named > 50, "only {named} tests are named: has the page another form now?");
    assert!(missing.is_empty(), "not there: {missing:#?}");
}
