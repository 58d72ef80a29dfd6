//! Recorded streams, and the events they give. `INSTA_UPDATE=always cargo test golden` writes them anew.

use std::path::Path;

use super::recorder::convert;

#[test]
fn recorded_streams_give_the_golden_events() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut count = 0;
    for version in ["2.1.197", "2.1.330"] {
        let folder = root.join("streams").join(version);
        let mut files: Vec<_> =
            folder.read_dir().expect("fixtures").map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        for file in files {
            let stream = std::fs::read_to_string(&file).expect("a stream");
            let lines: Vec<&str> = stream.lines().collect();
            let recorder = convert(&lines, false);
            recorder.check();
            assert_eq!(recorder.open(), 0, "{} leaves a message open", file.display());
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            insta::with_settings!({
                snapshot_path => root.join("golden").join(version),
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name, recorder.text());
            });
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} streams were found");
}
