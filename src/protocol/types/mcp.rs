//! MCP servers as clients name them: ACP's array of servers, or Claude's object from name to server.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::read::{Object, or_default};

/// What stands for a value that is nobody's business but the agent's.
pub const HIDDEN: &str = "***";

/// One MCP server. `type` absent means stdio, as in ACP and in Claude's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct McpServer {
    /// The server's name, unique within the session.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// `stdio` (default), `http` or `sse`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<McpTransport>,
    /// stdio: the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// stdio: its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// stdio: its environment, as ACP's array of `{name, value}` or as an object.
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub env: Pairs,
    /// http, sse: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// http, sse: headers, as ACP's array of `{name, value}` or as an object.
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub headers: Pairs,
}

/// How an MCP server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum McpTransport {
    /// A child process of the agent.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// Server-sent events.
    Sse,
}

/// Names with values: an object, or ACP's array of `{name, value}`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Pairs {
    /// `{"NAME": "value"}`
    Object(BTreeMap<String, String>),
    /// `[{"name": "NAME", "value": "value"}]`
    Array(Vec<Pair>),
}

/// One entry of [`Pairs::Array`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// The name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Default for Pairs {
    fn default() -> Self {
        Self::Object(BTreeMap::new())
    }
}

impl Pairs {
    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Object(map) => map.is_empty(),
            Self::Array(pairs) => pairs.is_empty(),
        }
    }

    /// The same names, each with [`HIDDEN`] for a value.
    #[must_use]
    pub fn hidden(&self) -> Self {
        Self::Object(self.iter().map(|(name, _)| (name.to_owned(), HIDDEN.to_owned())).collect())
    }

    /// The pairs, whichever form they came in.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&str, &str)> + '_> {
        match self {
            Self::Object(map) => Box::new(map.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            Self::Array(pairs) => {
                Box::new(pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())))
            }
        }
    }
}

impl<'p> IntoIterator for &'p Pairs {
    type Item = (&'p str, &'p str);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'p>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// By hand, so that an error names the very entry (serde's untagged enums lose the path).
impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;

        impl<'de> Visitor<'de> for EitherForm {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or an array of {name, value}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    pairs.insert(name, value);
                }
                Ok(Pairs::Object(pairs))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(Object(pair)) = seq.next_element()? {
                    pairs.push(pair);
                }
                Ok(Pairs::Array(pairs))
            }
        }

        deserializer.deserialize_any(EitherForm)
    }
}

/// A server as it stands on the wire; in the object form its name is the key.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "McpServerEntry")]
pub(super) struct Entry {
    #[schemars(skip)]
    name: Option<String>,
    #[serde(rename = "type")]
    transport: Option<McpTransport>,
    command: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    args: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    env: Pairs,
    url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    headers: Pairs,
}

impl Entry {
    fn named(self, name: String) -> McpServer {
        let Self { name: _, transport, command, args, env, url, headers } = self;
        McpServer { name, transport, command, args, env, url, headers }
    }
}

impl<'de> Deserialize<'de> for McpServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(mut entry) = Object::<Entry>::deserialize(deserializer)?;
        let name = entry.name.take().ok_or_else(|| D::Error::missing_field("name"))?;
        Ok(entry.named(name))
    }
}

/// Both forms of a list of servers, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "McpServers")]
#[expect(dead_code, reason = "only its schema is used; `servers` reads both forms")]
pub(super) enum Servers {
    /// ACP's form.
    Array(Vec<McpServer>),
    /// Claude's form.
    Object(BTreeMap<String, Entry>),
}

/// Reads either form; the order of the text is kept.
pub(super) fn servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<McpServer>, D::Error> {
    struct EitherForm;

    impl<'de> Visitor<'de> for EitherForm {
        type Value = Vec<McpServer>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of servers, or an object from name to server")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut servers = Vec::new();
            while let Some(server) = seq.next_element()? {
                servers.push(server);
            }
            Ok(servers)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut servers = Vec::new();
            while let Some((name, Object(entry))) = map.next_entry::<String, Object<Entry>>()? {
                servers.push(entry.named(name));
            }
            Ok(servers)
        }
    }

    deserializer.deserialize_any(EitherForm)
}

/// [`servers`], or `null`.
pub(super) fn optional_servers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<McpServer>>, D::Error> {
    struct List(Vec<McpServer>);

    impl<'de> Deserialize<'de> for List {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            servers(deserializer).map(Self)
        }
    }

    Ok(Option::<List>::deserialize(deserializer)?.map(|list| list.0))
}
