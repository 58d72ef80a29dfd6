//! Holds the rooms of `docs/architecture.md` against the source: who imports whom, and which outside crate belongs to which room.
//!
//! Reads paths (`crate::room::…`, `use crate::{room, …}`), not the compiler's mind: a re-export that smuggles one room's type
//! through another would not be seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A room and the rooms that it may import. The order is that of the architecture: imports point to later lines only.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["gateway", "server", "config"]),
    (
        "gateway",
        &[
            "server",
            "connection",
            "nodes",
            "dispatch",
            "session",
            "log",
            "store",
            "agent",
            "protocol",
            "scripted_model",
            "console",
            "metrics",
            "config",
            "lookup",
        ],
    ),
    // Neither knows what messages mean; close codes are the transport's own vocabulary.
    ("server", &["connection", "protocol::codes", "wake"]),
    ("connection", &["log", "protocol::codes", "wake"]),
    ("nodes", &["dispatch", "session", "log", "store", "protocol"]),
    ("dispatch", &["session", "protocol", "lookup", "lengthy"]),
    ("session", &["converter", "log", "store", "agent", "protocol", "metrics", "lengthy", "wake"]),
    // The only room that knows both vocabularies, and of the agent's only the words.
    ("converter", &["agent::wire", "protocol"]),
    ("log", &["store", "lengthy"]),
    ("store", &[]),
    ("agent", &["wake", "lookup"]),
    ("protocol", &[]),
    ("scripted_model", &[]),
    ("console", &[]),
    ("metrics", &[]),
    ("config", &[]),
    ("lengthy", &[]),
    ("wake", &[]),
    ("lookup", &[]),
];

/// What tests beside the code may import on top: (room, import, why).
const IN_TESTS: &[(&str, &str, &str)] = &[
    ("store", "log", "the store is tried through its one real user"),
    ("session", "lookup", "for the agents of tests"),
];

/// Outside crates that are one room's tool, and the rooms that may touch them.
const TOOLS: &[(&str, &[&str])] = &[
    ("claude_agent_sdk", &["agent", "converter", "session"]),
    ("clap", &["config", "main"]),
    ("env_logger", &["main"]),
    ("prometheus_client", &["metrics", "gateway"]),
    ("rusqlite", &["store"]),
    ("redis", &["store"]),
    ("tokio_rustls", &["store"]),
    ("rustls_native_certs", &["store"]),
    ("schemars", &["protocol"]),
    ("hyper", &["server", "scripted_model", "gateway"]),
    ("hyper_util", &["server", "scripted_model"]),
];

/// One line's mention of a path.
struct Mention {
    file: PathBuf,
    line: usize,
    room: String,
    path: String,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the source can be listed") {
        let path = entry.expect("the source can be listed").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room that a file belongs to: the folder under `src`, or the file's own name.
fn room_of(file: &Path) -> String {
    let relative = file.strip_prefix(source()).expect("a file of the source");
    let first = relative.iter().next().expect("a file has a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The text without what stands in line comments; lines stay lines.
fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| {
        // Not the `//` of a URL in a string.
        let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
        comment.map_or(line, |(at, _)| &line[..at])
    });
    code.collect::<Vec<_>>().join("\n")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The paths, up to two words long, that begin at `text`: `a::b` gives one, `{a, b::c}` gives each.
fn paths(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else {
        return vec![path(text)];
    };
    let (mut depth, mut start, mut found) = (0_u32, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b',' if depth == 0 => {
                found.push(path(group[start..at].trim_start()));
                start = at + 1;
            }
            b'}' if depth == 0 => {
                found.push(path(group[start..at].trim_start()));
                break;
            }
            b'}' => depth -= 1,
            _ => {}
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

fn path(text: &str) -> String {
    let word = |text: &str| text[..text.bytes().take_while(|byte| is_word(*byte)).count()].to_owned();
    let first = word(text);
    let rest = &text[first.len()..];
    match rest.strip_prefix("::").map(word) {
        Some(second) if !second.is_empty() => format!("{first}::{second}"),
        _ => first,
    }
}

/// All mentions of paths that follow `prefix` (`crate::`, or a name of an outside crate with its colons).
fn mentions(prefix: &str) -> Vec<Mention> {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    let mut found = Vec::new();
    for file in files {
        let text = without_comments(&std::fs::read_to_string(&file).expect("the source can be read"));
        for (at, _) in text.match_indices(prefix) {
            if text[..at].bytes().next_back().is_some_and(is_word) {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            for path in paths(&text[at + prefix.len()..]) {
                found.push(Mention { file: file.clone(), line, room: room_of(&file), path });
            }
        }
    }
    found
}

fn report(violations: &[(Mention, String)]) -> String {
    let mut text = String::new();
    for (mention, why) in violations {
        let _ = writeln!(text, "{}:{}: {why}", mention.file.display(), mention.line);
    }
    text
}

/// Whether a mention is of the room itself, or of what its row allows.
fn allowed(mention: &Mention) -> bool {
    let (room, path) = (mention.room.as_str(), mention.path.as_str());
    let (_, imports) = ROOMS.iter().find(|(name, _)| *name == room).expect("a known room");
    let first = path.split("::").next().unwrap_or_default();
    let in_tests =
        mention.file.iter().any(|part| {
            part == "tests" || part == "tests.rs" || part.to_string_lossy().ends_with("_test.rs")
        }) && IN_TESTS.iter().any(|(tester, import, _)| (*tester, *import) == (room, first));
    first == room || in_tests || imports.iter().any(|import| *import == first || *import == path)
}

#[test]
fn rooms_import_only_what_the_architecture_allows() {
    let names: Vec<_> = ROOMS.iter().map(|(name, _)| *name).collect();
    let inside = mentions("crate::");
    // The binary sees the library by its name; so do examples in comments, which are not read.
    let outside = mentions("claude_ws::");
    let violations: Vec<_> = inside
        .into_iter()
        .chain(outside)
        .filter(|mention| mention.room != "lib")
        .filter_map(|mention| {
            let why = if !names.contains(&mention.room.as_str()) {
                format!("the room `{}` has no row in ROOMS", mention.room)
            } else if allowed(&mention) {
                return None;
            } else {
                format!("`{}` must not know `{}`", mention.room, mention.path)
            };
            Some((mention, why))
        })
        .collect();
    assert!(violations.is_empty(), "\n{}", report(&violations));
}

#[test]
fn nobody_climbs_out_of_a_room_by_super() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    for file in files {
        let text = without_comments(&std::fs::read_to_string(&file).expect("the source can be read"));
        let relative = file.strip_prefix(source()).expect("a file of the source");
        // Modules between this file and the crate's root, and those that are written within it.
        let mut depth = relative.components().count();
        if relative.ends_with("mod.rs") {
            depth -= 1;
        }
        for (number, line) in text.lines().enumerate() {
            let inner = usize::from(line.starts_with(' '));
            let climbed = longest_climb(line);
            assert!(
                climbed < depth + inner,
                "{}:{}: climbs out of the room; write `crate::`",
                file.display(),
                number + 1
            );
        }
    }
}

/// How many `super::` follow each other in a line, at most.
fn longest_climb(line: &str) -> usize {
    let climbs = line.match_indices("super::").map(|(at, step)| {
        let rest = &line[at..];
        (0..rest.len()).take_while(|count| rest[count * step.len()..].starts_with(step)).count()
    });
    climbs.max().unwrap_or(0)
}

#[test]
fn imports_point_one_way() {
    let place: BTreeMap<_, _> = ROOMS.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    for (room, imports) in ROOMS {
        for import in *imports {
            let first = import.split("::").next().unwrap_or_default();
            assert!(place[first] > place[room], "{room} imports {first}, which comes before it");
        }
    }
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let mut violations = Vec::new();
    for (tool, rooms) in TOOLS {
        for mention in mentions(&format!("{tool}::")) {
            if !rooms.contains(&mention.room.as_str()) {
                let why = format!("`{tool}` belongs to {rooms:?}, not to `{}`", mention.room);
                violations.push((mention, why));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}", report(&violations));
}

#[test]
fn every_room_is_a_module_and_every_module_a_room() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).expect("the source can be read");
    for module in lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(ROOMS.iter().any(|(room, _)| *room == module), "`{module}` has no row in ROOMS");
        assert!(source().join(module).is_dir(), "`{module}` is no folder");
        let row =
            lib.lines().any(|line| line.starts_with("//! |") && line.contains(&format!("[`{module}`]")));
        assert!(row, "`{module}` has no row in the table of src/lib.rs");
    }
}

#[test]
fn the_reader_of_paths_sees_groups_and_ignores_comments() {
    assert_eq!(paths("agent::wire::Raw"), ["agent::wire"]);
    assert_eq!(paths("{log, protocol::{Empty, codes}, store::Store}"), ["log", "protocol", "store::Store"]);
    assert_eq!(paths("config;"), ["config"]);
    assert_eq!(without_comments("a // crate::agent\nlet x = \"ws://b\"; // c"), "a \nlet x = \"ws://b\"; ");
    assert_eq!(longest_climb("use super::super::x; super::y"), 2);
}

#[test]
fn every_dependency_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("the file can be read");
    let (manifest, docs) = (read("Cargo.toml"), read("docs/architecture.md"));
    let chapter = docs.split_once("\n## Dependencies\n").expect("the chapter is there").1;
    let chapter = chapter.split_once("\n## ").map_or(chapter, |(text, _)| text);
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (in_dependencies, line.split_once(" =")) {
            assert!(
                chapter.contains(&format!("`{name}`")),
                "{name} has no row in docs/architecture.md, Dependencies"
            );
        }
    }
}
