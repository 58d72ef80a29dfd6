//! The web console's files, embedded in the binary.
//!
//! Job: give a path's bytes, content type and entity tag. May assume nothing. Must not know HTTP types, sessions or the
//! protocol: the console is a client like any other and speaks to the gateway over `/ws`.

use std::sync::LazyLock;

mod files;

/// `Content-Security-Policy` for everything that [`asset`] gives: the page's own files, connections back to the gateway,
/// pictures from messages as `data:`. No inline script or style, no other origin, no frames.
///
/// `require-trusted-types-for` turns every string that would become HTML into an error but for the sanitiser's.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types dompurify";

/// A file of the console.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// `Content-Type`; text is UTF-8.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    /// A strong entity tag, quotes included. Names do not change with the content: answer with `Cache-Control: no-cache`.
    pub etag: &'static str,
}

/// The file at a path of the URL: `/` is the page. `None`: the console has no such file.
pub fn asset(path: &str) -> Option<Asset> {
    let name = match path.strip_prefix('/')? {
        "" => "index.html",
        name => name,
    };
    let at = FILES.binary_search_by_key(&name, |file| file.0).ok()?;
    FILES.get(at).map(|file| Asset { content_type: content_type(name), bytes: file.1, etag: &file.2 })
}

/// Name, bytes and entity tag of every file, by name.
static FILES: LazyLock<Vec<(&'static str, &'static [u8], String)>> = LazyLock::new(|| {
    let mut files: Vec<_> = files::FILES.iter().map(|(name, bytes)| (*name, *bytes, etag(bytes))).collect();
    files.sort_unstable_by_key(|file| file.0);
    files
});

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// FNV-1a: tells two builds' files apart, which is all that it has to.
fn etag(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
    }

    fn names(folder: &Path, below: &str, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the console's folder is there") {
            let entry = entry.expect("its entries can be read");
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                names(&entry.path(), &format!("{name}/"), into);
            } else {
                into.insert(name);
            }
        }
    }

    #[test]
    fn every_file_is_embedded_and_no_other() {
        let mut on_disk = BTreeSet::from(["index.html".to_owned(), "favicon.svg".to_owned()]);
        for part in ["css", "js", "vendor"] {
            names(&folder().join(part), &format!("{part}/"), &mut on_disk);
        }
        let embedded: BTreeSet<String> = files::FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(embedded, on_disk);
    }

    #[test]
    fn the_root_is_the_page() {
        let page = asset("/").expect("there is a page");
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert_eq!(page.bytes, fs::read(folder().join("index.html")).expect("the page can be read"));
        assert_eq!(page.etag, asset("/index.html").expect("by its name, too").etag);
    }

    #[test]
    fn other_paths_are_not_there() {
        for path in
            ["", "index.html", "//", "/nope", "/js", "/js/", "/../Cargo.toml", "/package.json", "/tests/"]
        {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn etags_differ_between_files() {
        let etags: BTreeSet<_> = FILES.iter().map(|file| &file.2).collect();
        assert_eq!(etags.len(), files::FILES.len());
    }

    /// The policy would block them, and the page would look right only in a browser that ignores it.
    #[test]
    fn the_page_has_nothing_inline_and_only_relative_addresses() {
        let page = fs::read_to_string(folder().join("index.html")).expect("the page can be read");
        for banned in
            ["<style", "style=", " onclick", "http://", "https://", "href=\"/", "src=\"/", "<script>"]
        {
            assert!(!page.contains(banned), "{banned}");
        }
    }
}
