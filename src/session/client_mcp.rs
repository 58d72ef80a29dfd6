//! Which MCP servers clients may name: all, none, or those that the operator lists.
//!
//! A stdio server is a command that runs as the gateway's user, without any permission prompt: who may name one may run anything. So a
//! list says what may run, and not under which name. Must not know where patterns come from.

use crate::protocol::{McpServer, McpTransport};

/// `--no-client-mcp`, `--allow-client-mcp`.
#[derive(Debug, Clone, Default)]
pub struct ClientMcp(
    /// `None`: every server.
    Option<Vec<Pattern>>,
);

/// A pattern that means nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadPattern {
    /// There is nothing in it.
    #[error("a pattern is a command with its arguments, or an address")]
    Empty,
    /// `https://host*` would allow `https://host.example.org` too.
    #[error("{0:?}: a `*` in an address comes after the host's `/`")]
    Host(String),
}

#[derive(Debug, Clone)]
enum Pattern {
    /// Variables that may be set, the program and its arguments, and whether more of these may follow.
    Command {
        env: Vec<(String, Word)>,
        words: Vec<Word>,
        and_more: bool,
    },
    Address(Word),
}

/// `text`, or with `*` behind it all that begins so.
#[derive(Debug, Clone)]
struct Word {
    text: String,
    is_prefix: bool,
}

impl Word {
    fn of(text: &str) -> Self {
        let prefix = text.strip_suffix('*');
        Self { text: prefix.unwrap_or(text).to_owned(), is_prefix: prefix.is_some() }
    }

    fn fits(&self, text: &str) -> bool {
        if self.is_prefix { text.starts_with(&self.text) } else { text == self.text }
    }
}

impl ClientMcp {
    /// Only servers that one of the patterns fits. A pattern is `[NAME=VALUE…] COMMAND [ARGUMENT…]` or an address, words apart by white
    /// space; a `*` at the end of a word stands for anything, and as the last word for any further arguments.
    ///
    /// # Errors
    /// A pattern is none.
    pub fn only<T: AsRef<str>>(patterns: &[T]) -> Result<Self, BadPattern> {
        patterns
            .iter()
            .map(|pattern| Pattern::of(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Some)
            .map(Self)
    }

    /// Why these are refused, for the client; `None`: they may be used.
    pub fn refusal(&self, servers: &[McpServer]) -> Option<String> {
        let refused = servers.iter().find(|server| !self.allows(server))?;
        Some(if self.0.as_ref().is_some_and(Vec::is_empty) {
            "mcp_servers: this server takes none from clients (--no-client-mcp)".to_owned()
        } else {
            format!(
                "mcp_servers: {:?} is none of those that this server allows (--allow-client-mcp)",
                refused.name
            )
        })
    }

    /// Whether the server may be used.
    pub fn allows(&self, server: &McpServer) -> bool {
        self.0.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.fits(server)))
    }
}

impl Pattern {
    fn of(text: &str) -> Result<Self, BadPattern> {
        let mut words: Vec<_> = text.split_whitespace().collect();
        if let [address] = words[..]
            && let Some((_, rest)) = address.split_once("://")
        {
            let is_open = address.ends_with('*') && !rest.contains('/');
            return if is_open {
                Err(BadPattern::Host(address.to_owned()))
            } else {
                Ok(Self::Address(Word::of(address)))
            };
        }
        let is_variable = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
        let variables = words.iter().take_while(|word| is_variable(word)).count();
        let env = words.drain(..variables).filter_map(|word| word.split_once('='));
        let env = env.map(|(name, value)| (name.to_owned(), Word::of(value))).collect();
        let and_more = words.len() > 1 && words.last() == Some(&"*");
        if and_more {
            words.pop();
        }
        if words.is_empty() {
            return Err(BadPattern::Empty);
        }
        Ok(Self::Command { env, words: words.into_iter().map(Word::of).collect(), and_more })
    }

    fn fits(&self, server: &McpServer) -> bool {
        let is_address = matches!(server.transport, Some(McpTransport::Http | McpTransport::Sse));
        match self {
            Self::Address(word) => is_address && server.url.as_deref().is_some_and(|url| word.fits(url)),
            Self::Command { env, words, and_more } => {
                let given = server.command.iter().chain(&server.args);
                let count = 1 + server.args.len();
                !is_address
                    && server.command.is_some()
                    && (count == words.len() || (*and_more && count > words.len()))
                    && words.iter().zip(given).all(|(word, given)| word.fits(given))
                    && server.env.iter().all(|(name, value)| {
                        env.iter().any(|(allowed, word)| allowed == name && word.fits(value))
                    })
            }
        }
    }
}

/// As a shell has them.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(fields: &serde_json::Value) -> McpServer {
        let mut server = json!({"name": "n"});
        server.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(server).unwrap()
    }

    fn allows(pattern: &str, fields: &serde_json::Value) -> bool {
        ClientMcp::only(&[pattern]).unwrap().allows(&server(fields))
    }

    #[test]
    fn by_itself_every_server_is_allowed_and_an_empty_list_allows_none() {
        let any = server(&json!({"command": "sh", "args": ["-c", "id"]}));
        assert!(ClientMcp::default().allows(&any));
        let none = ClientMcp::only::<&str>(&[]).unwrap();
        assert!(!none.allows(&any));
        assert_eq!(none.refusal(&[]), None);
        assert!(none.refusal(&[any]).unwrap().contains("--no-client-mcp"));
    }

    #[test]
    fn a_command_is_compared_word_by_word() {
        assert!(allows("mcp-files", &json!({"command": "mcp-files"})));
        assert!(allows(
            "mcp-files --root *",
            &json!({"command": "mcp-files", "args": ["--root", "/a", "-v"]})
        ));
        assert!(allows("mcp-files --root *", &json!({"command": "mcp-files", "args": ["--root"]})));
        assert!(allows("npx -y @own/*", &json!({"command": "npx", "args": ["-y", "@own/x"]})));
        for fields in [
            json!({"command": "sh"}),
            json!({"command": "mcp-files", "args": ["--root"]}),
            json!({"command": "mcp-files", "args": ["--other", "x"]}),
            json!({"command": "mcp-files --root", "args": ["/a"]}),
            json!({"command": "mcp-files", "args": ["--root /a"]}),
            json!({"command": "mcp-files", "args": ["--root", "/a", "more"]}),
            json!({"command": "/tmp/mcp-files", "args": ["--root", "/a"]}),
            json!({"type": "http", "url": "https://h/", "command": "mcp-files", "args": ["--root", "/a"]}),
            json!({"args": ["--root", "/a"]}),
        ] {
            assert!(!allows("mcp-files --root /a", &fields), "{fields}");
        }
    }

    /// `PATH` or `LD_PRELOAD` make another program of any.
    #[test]
    fn variables_are_allowed_by_name() {
        let with = |env: &serde_json::Value| json!({"command": "mcp", "args": [], "env": env});
        assert!(allows("mcp", &with(&json!({}))));
        assert!(!allows("mcp", &with(&json!({"PATH": "/tmp"}))));
        assert!(allows("KEY=* LOG=off mcp", &with(&json!({"KEY": "x", "LOG": "off"}))));
        assert!(allows("KEY=* LOG=off mcp", &with(&json!([{"name": "KEY", "value": ""}]))));
        assert!(!allows("KEY=* LOG=off mcp", &with(&json!({"LOG": "on"}))));
        assert!(!allows("KEY=* mcp", &with(&json!({"KEY": "x", "LD_PRELOAD": "y"}))));
    }

    #[test]
    fn addresses_are_compared_whole_or_from_their_beginning() {
        let at = |url: &str| json!({"type": "http", "url": url});
        assert!(allows("https://mcp.example.org/*", &at("https://mcp.example.org/a?b")));
        assert!(allows("https://mcp.example.org/a", &at("https://mcp.example.org/a")));
        assert!(!allows("https://mcp.example.org/a", &at("https://mcp.example.org/ab")));
        assert!(!allows("https://mcp.example.org/*", &at("https://mcp.example.org.evil.org/")));
        assert!(!allows("https://mcp.example.org/*", &json!({"command": "https://mcp.example.org/"})));
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for bad in ["", "  ", "KEY=x", "https://h*", "https://*"] {
            assert!(ClientMcp::only(&[bad]).is_err(), "{bad:?}");
        }
    }
}
