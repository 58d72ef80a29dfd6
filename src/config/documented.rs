//! Holds the README's table of flags against the flags themselves.

use clap::{Arg, CommandFactory};

use super::cli::Cli;

const README: &str = include_str!("../../README.md");

/// The rows of the table: flag, variable, default, what it does.
fn rows() -> Vec<[&'static str; 4]> {
    let chapter = README.split_once("\n## All flags\n").expect("the README has a chapter of flags").1;
    let chapter = chapter.split_once("\n## ").map_or(chapter, |(text, _)| text);
    let rows = chapter.lines().filter(|line| line.starts_with("| `--"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("four cells a row: {cells:?}"))
    })
    .collect()
}

fn flags() -> Vec<Arg> {
    let command = Cli::command();
    let own = command.get_arguments().filter(|flag| !["help", "version"].contains(&flag.get_id().as_str()));
    own.cloned().collect()
}

/// How the table names a flag.
fn name(flag: &Arg) -> String {
    let long = flag.get_long().unwrap_or_default();
    match flag.get_value_names() {
        Some([value, ..]) if flag.get_action().takes_values() => format!("`--{long} {value}`"),
        _ => format!("`--{long}`"),
    }
}

#[test]
fn every_flag_has_a_row_and_every_row_a_flag() {
    let documented: Vec<_> = rows().iter().map(|row| row[0].to_owned()).collect();
    let existing: Vec<_> = flags().iter().map(name).collect();
    let mut sorted = (documented.clone(), existing.clone());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    assert_eq!(documented, existing, "the rows are in the order of --help");
}

#[test]
fn rows_name_the_variable_and_the_default() {
    for (row, flag) in rows().iter().zip(flags()) {
        let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
        assert_eq!(row[1], format!("`{variable}`"), "{}", row[0]);
        let default = flag.get_default_values().iter().find(|_| flag.get_action().takes_values());
        match default.and_then(|value| value.to_str()) {
            // A comment may follow: `8388608` (8 MiB).
            Some(default) => assert!(row[2].starts_with(&format!("`{default}`")), "{}: {}", row[0], row[2]),
            None => assert!(!row[2].is_empty() && !row[2].starts_with('`'), "{}: {}", row[0], row[2]),
        }
        assert!(row[3].len() > 10, "{} says too little", row[0]);
    }
}
