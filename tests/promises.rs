//! Holds what the documents say: `docs/reliability.md` names for each promise the tests that hold it, and they exist; tables are whole;
//! what a reader is told to type is there.

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

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A blank line in a table ends it: what follows is shown as text.
#[test]
fn every_table_begins_with_its_head() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guides = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let others =
        ["README.md", "clients/typescript/README.md", "console/README.md"].map(|name| root.join(name));
    for path in
        guides.chain(others).filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    {
        let text = fs::read_to_string(&path).unwrap();
        let mut in_code = false;
        let mut before = "";
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            in_code ^= line.trim_start().starts_with("```");
            if !in_code && line.starts_with('|') && !before.starts_with('|') {
                let ruled =
                    lines.peek().is_some_and(|(_, next)| next.chars().all(|char| "|-: ".contains(char)));
                assert!(ruled, "{}:{}: a table without a head: {line}", path.display(), number + 1);
            }
            before = line;
        }
    }
}

/// The first thing that is tried must work where the reader is: in a checkout, with nothing installed.
#[test]
fn the_first_guides_use_what_is_there() {
    let guide = read("docs/first-front-end.md");
    let commands = guide.split("```sh").nth(1).unwrap().split("```").next().unwrap();
    for command in commands.lines().filter(|line| !line.is_empty()) {
        assert!(command.starts_with("python3 ") || command.starts_with("make run "), "{command}");
    }
    assert!(read("clients/typescript/README.md").contains("--allow-origin http"));
}

#[test]
fn the_version_to_install_is_the_one_that_is_tried() {
    let makefile = read("Makefile");
    let pinned = makefile.lines().find_map(|line| line.strip_prefix("CLAUDE_VERSION     := ")).unwrap();
    for name in ["docs/deploy.md", "README.md", "docs/troubleshooting.md"] {
        for (at, found) in read(name).match_indices("@anthropic-ai/claude-code") {
            let text = read(name);
            let rest = &text[at + found.len()..];
            assert!(rest.starts_with(&format!("@{pinned}")), "{name}: not pinned to {pinned}");
        }
    }
}

/// Every crate that an example uses is among the dependencies that the guide names, in a version that this one uses too.
#[test]
fn the_guide_for_embedding_names_its_dependencies() {
    let guide = read("docs/embedding.md");
    let named = guide.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let manifest = read("Cargo.toml");
    for krate in ["tokio", "tokio-util", "serde_json"] {
        assert!(guide.contains(&krate.replace('-', "_")), "{krate} is not used any more");
        let version = |text: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{krate} = ")))
                .unwrap_or_else(|| panic!("{krate}"));
            line.split('"')
                .find(|part| part.starts_with(|first: char| first.is_ascii_digit()))
                .unwrap()
                .to_owned()
        };
        let (told, own) = (version(named), version(&manifest));
        assert!(
            own == told || own.starts_with(&format!("{told}.")),
            "{krate}: {told}, while this crate uses {own}"
        );
    }
}
