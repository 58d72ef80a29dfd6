//! The fields of each message type: read, then checked.

use serde::Deserialize;

use super::check::{self, Checker};
use super::path::{Invalid, read};
use super::{FrameLimits, tool_schema};
use crate::protocol::types::read::optional_object;
use crate::protocol::{
    Background, Cancel, ClientTool, ClientToolResult, ConfigUpdate, ElicitationResponse, Empty, Interrupt,
    ListSessions, McpServer, McpTransport, NewSession, Pairs, PermissionResponse, PermissionUpdate, Position,
    ResultRead, RuleUpdate, SessionEnd, SessionStart, StartOptions, TaskOutput, TaskStop, UserMessage,
};

/// The MCP server's name that stands before the names of client tools (`mcp__client__NAME`).
const CLIENT_TOOLS_SERVER: &str = "client";

/// A message type that can be read from a frame.
pub trait Body: Sized {
    /// Reads the fields of this type from the whole frame's text and checks them; fields of others are ignored.
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid>;
}

impl Body for Empty {
    fn read(_: &str, _: &FrameLimits) -> Result<Self, Invalid> {
        Ok(Self {})
    }
}

impl Body for SessionEnd {
    fn read(text: &str, _: &FrameLimits) -> Result<Self, Invalid> {
        read(text)
    }
}

impl Body for Interrupt {
    fn read(text: &str, _: &FrameLimits) -> Result<Self, Invalid> {
        read(text)
    }
}

impl Body for TaskStop {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("task_id", &message.task_id)?;
        Ok(message)
    }
}

impl Body for TaskOutput {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("task_id", &message.task_id)?;
        Ok(message)
    }
}

impl Body for ResultRead {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("tool_use_id", &message.tool_use_id)?;
        if message.seq == 0 {
            return Err(Invalid::new("seq", "is 0; the first event has 1"));
        }
        if message.max_bytes.is_some_and(|max| !(1..=Self::MAX_BYTES).contains(&max)) {
            return Err(Invalid::new("max_bytes", format!("is not from 1 to {}", Self::MAX_BYTES)));
        }
        Ok(message)
    }
}

impl Body for Background {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        if let Some(call) = &message.tool_use_id {
            Checker { limits }.name("tool_use_id", call)?;
        }
        Ok(message)
    }
}

impl Body for SessionStart {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        // One text is read several times, each time for other fields: serde's `flatten` would do it at once, but it
        // buffers, and what is buffered can hold no raw JSON. A session starts once.
        let nested: Nested<StartOptions> = read(text)?;
        let nested_position: Nested<Position> = read(text)?;
        let options = read::<StartOptions>(text)?.overlaid(nested.config.unwrap_or_default());
        let position = read::<Position>(text)?.overlaid(nested_position.config.unwrap_or_default());
        let checker = Checker { limits };
        checker.options(&options).and_then(|()| check::position(&position)).map_err(|invalid| {
            // Say it the way the client did.
            let field = invalid.path.split(['.', '[']).next().unwrap_or_default().to_owned();
            if nested_names(text, &field) { invalid.under("config") } else { invalid }
        })?;
        Ok(Self { options, position })
    }
}

/// The `config` of a `session_start`.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Nested<T> {
    #[serde(default, deserialize_with = "optional_object")]
    config: Option<T>,
}

/// Whether `config` names that field (with a value: `null` is absent).
fn nested_names(text: &str, field: &str) -> bool {
    let nested: Result<Nested<serde_json::Map<String, serde_json::Value>>, _> = read(text);
    nested.is_ok_and(|nested| {
        nested.config.is_some_and(|config| config.get(field).is_some_and(|value| !value.is_null()))
    })
}

impl Body for NewSession {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        let checker = Checker { limits };
        checker.path("cwd", &message.cwd)?;
        check::absolute("cwd", &message.cwd)?;
        checker.servers(&message.mcp_servers)?;
        Ok(message)
    }
}

impl Body for UserMessage {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        check::user_content(&message.content, limits.unknown_blocks)?;
        if let Some(parent) = &message.parent_tool_use_id {
            Checker { limits }.name("parent_tool_use_id", parent)?;
        }
        Ok(message)
    }
}

impl Body for ListSessions {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        if message.limit.is_some_and(|limit| !(1..=Self::MAX_LIMIT).contains(&limit)) {
            return Err(Invalid::new("limit", format!("is not from 1 to {}", Self::MAX_LIMIT)));
        }
        check::longest("search", message.search.as_deref().unwrap_or_default(), limits.name)?;
        let checker = Checker { limits };
        checker.list("status", &message.status)?;
        checker.metadata(&message.metadata)?;
        Ok(message)
    }
}

impl Body for PermissionResponse {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("request_id", &message.request_id)?;
        if message.updated_input.as_ref().is_some_and(|input| !input.is_object()) {
            return Err(Invalid::new("updated_input", "is not an object"));
        }
        let updates = message.updated_permissions.as_deref().unwrap_or_default();
        Checker { limits }.list("updated_permissions", updates)?;
        for (at, update) in updates.iter().enumerate() {
            let here = |invalid: Invalid| invalid.under(&format!("updated_permissions[{at}]"));
            Checker { limits }.update(update).map_err(here)?;
        }
        Ok(message)
    }
}

impl Body for ElicitationResponse {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("request_id", &message.request_id)?;
        if let Some(content) = &message.content {
            check::flat("content", content)?;
        }
        Ok(message)
    }
}

impl Body for PermissionUpdate {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        let checker = Checker { limits };
        if message.updates.is_empty() {
            return Err(Invalid::new("updates", "is empty"));
        }
        checker.list("updates", &message.updates)?;
        for (at, update) in message.updates.iter().enumerate() {
            checker.update(update).map_err(|invalid| invalid.under(&format!("updates[{at}]")))?;
        }
        Ok(message)
    }
}

impl Body for ClientToolResult {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("tool_use_id", &message.tool_use_id)?;
        check::tool_content(&message.content)?;
        Ok(message)
    }
}

impl Body for Cancel {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        Checker { limits }.name("target_id", &message.target_id)?;
        Ok(message)
    }
}

impl Body for ConfigUpdate {
    fn read(text: &str, limits: &FrameLimits) -> Result<Self, Invalid> {
        let message: Self = read(text)?;
        let config = &message.config;
        check::max_turns(config.max_turns)
            .and_then(|()| {
                config.model.as_deref().map_or(Ok(()), |model| Checker { limits }.argument("model", model))
            })
            .map_err(|invalid| invalid.under("config"))?;
        Ok(message)
    }
}

impl Checker<'_> {
    fn options(&self, options: &StartOptions) -> Result<(), Invalid> {
        check::max_turns(options.max_turns)?;
        if let Some(metadata) = &options.metadata {
            self.metadata(metadata)?;
        }
        if let Some(cwd) = &options.cwd {
            self.path("cwd", cwd)?;
        }
        if let Some(model) = &options.model {
            self.argument("model", model)?;
        }
        for (field, prompt) in [
            ("system_prompt", &options.system_prompt),
            ("append_system_prompt", &options.append_system_prompt),
        ] {
            check::no_nul(field, prompt.as_deref().unwrap_or_default())?;
        }
        self.arguments("allowed_tools", options.allowed_tools.as_deref())?;
        self.arguments("disallowed_tools", options.disallowed_tools.as_deref())?;
        self.arguments("add_dirs", options.add_dirs.as_deref())?;
        let servers = options.mcp_servers.as_deref().unwrap_or_default();
        let tools = options.client_tools.as_deref().unwrap_or_default();
        self.servers(servers)?;
        self.tools(tools)?;
        match servers.iter().position(|server| server.name == CLIENT_TOOLS_SERVER) {
            Some(at) if !tools.is_empty() => Err(Invalid::new(
                format!("mcp_servers[{at}].name"),
                "is the name under which `client_tools` go",
            )),
            _ => Ok(()),
        }
    }

    fn servers(&self, servers: &[McpServer]) -> Result<(), Invalid> {
        self.list("mcp_servers", servers)?;
        for (at, server) in servers.iter().enumerate() {
            let here = |invalid: Invalid| invalid.under(&format!("mcp_servers[{at}]"));
            self.server(server).map_err(here)?;
            if servers.iter().take(at).any(|earlier| earlier.name == server.name) {
                return Err(here(Invalid::new("name", "is the name of an earlier server too")));
            }
        }
        Ok(())
    }

    fn server(&self, server: &McpServer) -> Result<(), Invalid> {
        check::identifier("name", &server.name)?;
        let needs = |field: &str, value: Option<&String>, kind: &str| match value {
            Some(value) if !value.is_empty() => Ok(()),
            _ => Err(Invalid::new(field, format!("is missing; {kind} needs it"))),
        };
        match server.transport {
            None => needs("command", server.command.as_ref(), "a server without `type` (stdio)")?,
            Some(McpTransport::Stdio) => needs("command", server.command.as_ref(), "stdio")?,
            Some(McpTransport::Http) => needs("url", server.url.as_ref(), "http")?,
            Some(McpTransport::Sse) => needs("url", server.url.as_ref(), "sse")?,
        }
        self.list("args", &server.args)?;
        for (field, pairs) in [("env", &server.env), ("headers", &server.headers)] {
            self.pairs(pairs).map_err(|invalid| invalid.under(field))?;
        }
        Ok(())
    }

    fn pairs(&self, pairs: &Pairs) -> Result<(), Invalid> {
        if pairs.iter().count() > self.limits.list_entries {
            return Err(check::too_many("", self.limits.list_entries));
        }
        match pairs.iter().position(|(name, _)| name.is_empty()) {
            Some(at) => Err(Invalid::new(format!("[{at}].name"), "is empty")),
            None => Ok(()),
        }
    }

    fn tools(&self, tools: &[ClientTool]) -> Result<(), Invalid> {
        self.list("client_tools", tools)?;
        for (at, tool) in tools.iter().enumerate() {
            let here = |invalid: Invalid| invalid.under(&format!("client_tools[{at}]"));
            check::tool_name(&tool.name).map_err(here)?;
            if tools.iter().take(at).any(|earlier| earlier.name == tool.name) {
                return Err(here(Invalid::new("name", "is the name of an earlier tool too")));
            }
            tool_schema::check(&tool.input_schema).map_err(|invalid| here(invalid.under("input_schema")))?;
        }
        Ok(())
    }

    fn update(&self, update: &RuleUpdate) -> Result<(), Invalid> {
        match update {
            RuleUpdate::AddRules(set) | RuleUpdate::ReplaceRules(set) | RuleUpdate::RemoveRules(set) => {
                self.list("rules", &set.rules)?;
                for (at, rule) in set.rules.iter().enumerate() {
                    let here = |invalid: Invalid| invalid.under(&format!("rules[{at}]"));
                    self.argument("toolName", &rule.tool_name).map_err(here)?;
                    let content = rule.rule_content.as_deref().unwrap_or_default();
                    check::longest("ruleContent", content, self.limits.name).map_err(here)?;
                    check::no_nul("ruleContent", content).map_err(here)?;
                }
                Ok(())
            }
            RuleUpdate::SetMode { .. } => Ok(()),
            RuleUpdate::AddDirectories { directories } | RuleUpdate::RemoveDirectories { directories } => {
                self.list("directories", directories)?;
                for (at, directory) in directories.iter().enumerate() {
                    let field = format!("directories[{at}]");
                    self.path(&field, directory)?;
                    check::absolute(&field, directory)?;
                }
                Ok(())
            }
        }
    }
}
