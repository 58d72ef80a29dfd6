//! The argument vector of a Claude Code process.
//!
//! May assume Claude Code 2.1.197 or newer. Must not start anything or touch files: private content comes back as bytes
//! to be written by the spawner.
//!
//! Every value is passed as `--flag=value`, so that a value can never be read as a flag; both CLI versions take this
//! form, for lists too (one flag an item). MCP server configuration (headers and environments with tokens), system prompts
//! and settings (up to megabytes, where one argument may have 128 KiB) go through private files.
//!
//! Fields of [`ClaudeAgentOptions`] without an argument: `cwd` and `env` are applied to the process; `resume` and
//! `continue_conversation` are replaced by [`Conversation`]; `include_partial_messages` is always on and
//! `permission_prompt_tool_name` always `stdio`, the driver's users rely on both; `max_buffer_size` is
//! [`super::AgentLimits::max_line`]; `can_use_tool` and `hooks` are callbacks of the SDK's own client; `user` is unused,
//! as in the SDK.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use claude_agent_sdk::ClaudeAgentOptions;
use claude_agent_sdk::types::{
    McpServerConfig, McpServers, PermissionMode, SdkMcpServerMarker, SettingSource, SystemPrompt,
};
use serde_json::{Map, Value, json};

use super::launch::{Conversation, Launch};

/// The name of the MCP server whose tools the front end runs.
pub const SDK_MCP_SERVER: &str = "client";

/// Arguments that the driver needs as they are: `extra_args` may not give them again.
const OWN_FLAGS: [&str; 12] = [
    "print",
    "output-format",
    "verbose",
    "input-format",
    "include-partial-messages",
    "permission-prompt-tool",
    "session-id",
    "resume",
    "continue",
    "mcp-config",
    "replay-user-messages",
    "version",
];

/// Why options cannot be put into arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// A name in `extra_args` is not a flag's name.
    #[error("`{0}` is not the name of a flag")]
    BadFlag(String),
    /// A name in `extra_args` is a flag that the driver sets itself.
    #[error("the flag `--{0}` is set by the driver")]
    OwnFlag(String),
    /// A value holds a NUL byte, which no argument can.
    #[error("the value of `--{0}` holds a NUL byte")]
    Nul(String),
}

/// The arguments, and the files that some of them name.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// In order; where `File` stands, the path of the file that was written.
    pub(super) items: Vec<Argument>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// As it is.
    Plain(OsString),
    /// `--flag=PATH` of a private file with this content.
    File {
        /// The flag, without dashes.
        flag: &'static str,
        /// The end of the file's name.
        name: &'static str,
        /// What is in it.
        content: Vec<u8>,
    },
}

/// The arguments for this launch.
pub(super) fn arguments(launch: &Launch) -> Result<Arguments, ArgsError> {
    let options = &launch.options;
    let mut out = Arguments::default();
    for flag in ["print", "verbose", "include-partial-messages"] {
        out.flag(flag);
    }
    out.value("output-format", "stream-json")?;
    out.value("input-format", "stream-json")?;
    out.value("permission-prompt-tool", "stdio")?;
    out.conversation(launch.conversation, options.fork_session)?;
    out.system_prompt(options, launch.append_system_prompt.as_deref());
    for tool in &options.allowed_tools {
        out.value("allowedTools", tool.as_str())?;
    }
    for tool in &options.disallowed_tools {
        out.value("disallowedTools", tool.as_str())?;
    }
    if let Some(mode) = options.permission_mode {
        out.value("permission-mode", mode_name(mode))?;
    }
    if let Some(turns) = options.max_turns {
        out.value("max-turns", turns.to_string())?;
    }
    if let Some(tokens) = launch.max_thinking_tokens {
        out.value("max-thinking-tokens", tokens.to_string())?;
    }
    if let Some(model) = &options.model {
        out.value("model", model)?;
    }
    if let Some(settings) = &options.settings {
        out.settings(settings)?;
    }
    for dir in &options.add_dirs {
        out.value("add-dir", dir)?;
    }
    out.value("setting-sources", sources(options.setting_sources.as_deref().unwrap_or_default()))?;
    out.mcp_servers(&options.mcp_servers, launch.sdk_mcp)?;
    if let Some(agents) = &options.agents {
        out.value("agents", json!(agents).to_string())?;
    }
    out.extra(options)?;
    Ok(out)
}

impl Arguments {
    fn flag(&mut self, flag: &str) {
        self.items.push(Argument::Plain(format!("--{flag}").into()));
    }

    fn value(&mut self, flag: &str, value: impl AsRef<OsStr>) -> Result<(), ArgsError> {
        let value = value.as_ref();
        if value.as_encoded_bytes().contains(&0) {
            return Err(ArgsError::Nul(flag.to_owned()));
        }
        let mut argument = OsString::from(format!("--{flag}="));
        argument.push(value);
        self.items.push(Argument::Plain(argument));
        Ok(())
    }

    fn file(&mut self, flag: &'static str, name: &'static str, content: Vec<u8>) {
        self.items.push(Argument::File { flag, name, content });
    }

    fn conversation(&mut self, conversation: Conversation, fork: bool) -> Result<(), ArgsError> {
        match conversation {
            Conversation::New(id) => self.value("session-id", id.to_string()),
            Conversation::Resume(id) => {
                self.value("resume", id.to_string())?;
                if fork {
                    self.flag("fork-session");
                }
                Ok(())
            }
            Conversation::Fork { from, to } => {
                self.value("resume", from.to_string())?;
                self.flag("fork-session");
                self.value("session-id", to.to_string())
            }
        }
    }

    /// Settings themselves, or the path of a file with them.
    fn settings(&mut self, settings: &Path) -> Result<(), ArgsError> {
        let bytes = settings.as_os_str().as_encoded_bytes();
        if bytes.first() != Some(&b'{') {
            return self.value("settings", settings);
        }
        self.file("settings", "settings.json", bytes.to_vec());
        Ok(())
    }

    fn system_prompt(&mut self, options: &ClaudeAgentOptions, append: Option<&str>) {
        let mut appended = String::new();
        match &options.system_prompt {
            Some(SystemPrompt::String(prompt)) => {
                self.file("system-prompt-file", "system.txt", prompt.clone().into_bytes());
            }
            Some(SystemPrompt::Preset(preset)) => appended.push_str(preset.append.as_deref().unwrap_or("")),
            None => {}
        }
        if let Some(append) = append.filter(|append| !append.is_empty()) {
            if !appended.is_empty() {
                appended.push_str("\n\n");
            }
            appended.push_str(append);
        }
        if !appended.is_empty() {
            self.file("append-system-prompt-file", "append.txt", appended.into_bytes());
        }
    }

    fn mcp_servers(&mut self, servers: &McpServers, sdk_mcp: bool) -> Result<(), ArgsError> {
        let mut declared = Map::new();
        match servers {
            McpServers::Dict(servers) => {
                declared.extend(servers.iter().map(|(name, config)| (name.clone(), mcp_server(config))));
            }
            McpServers::Path(path) => self.value("mcp-config", absolute(path))?,
            McpServers::None => {}
        }
        if sdk_mcp {
            let marker = McpServerConfig::Sdk(SdkMcpServerMarker { name: SDK_MCP_SERVER.to_owned() });
            declared.insert(SDK_MCP_SERVER.to_owned(), mcp_server(&marker));
        }
        if !declared.is_empty() {
            let content = json!({ "mcpServers": declared }).to_string().into_bytes();
            self.file("mcp-config", "mcp.json", content);
        }
        Ok(())
    }

    fn extra(&mut self, options: &ClaudeAgentOptions) -> Result<(), ArgsError> {
        let mut extra: Vec<_> = options.extra_args.iter().collect();
        extra.sort();
        for (name, value) in extra {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
                return Err(ArgsError::BadFlag(name.clone()));
            }
            if OWN_FLAGS.contains(&name.as_str()) {
                return Err(ArgsError::OwnFlag(name.clone()));
            }
            match value {
                Some(value) => self.value(name, value)?,
                None => self.flag(name),
            }
        }
        Ok(())
    }
}

/// A path that the CLI finds whatever its working directory is.
fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The CLI's name of a permission mode, for arguments and for [`super::control::set_permission_mode`].
pub fn mode_name(mode: PermissionMode) -> &'static str {
    match mode {
        PermissionMode::Default => "default",
        PermissionMode::AcceptEdits => "acceptEdits",
        PermissionMode::Plan => "plan",
        PermissionMode::BypassPermissions => "bypassPermissions",
    }
}

/// An empty list keeps the machine's own settings out, as in the SDK.
fn sources(sources: &[SettingSource]) -> String {
    let names = sources.iter().map(|source| match source {
        SettingSource::User => "user",
        SettingSource::Project => "project",
        SettingSource::Local => "local",
    });
    names.collect::<Vec<_>>().join(",")
}

fn mcp_server(config: &McpServerConfig) -> Value {
    match config {
        McpServerConfig::Stdio(stdio) => json!(stdio),
        McpServerConfig::Sse(sse) => json!(sse),
        McpServerConfig::Http(http) => json!(http),
        McpServerConfig::Sdk(sdk) => json!({ "type": "sdk", "name": sdk.name }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use claude_agent_sdk::types::{AgentDefinition, McpHttpServerConfig, SystemPromptPreset, ToolName};
    use uuid::Uuid;

    use super::*;
    use crate::agent::marker::Instance;

    fn launch() -> Launch {
        let instance = Instance::new("args").unwrap();
        Launch::new("claude", Conversation::New(Uuid::nil()), instance.marker())
    }

    fn plain(launch: &Launch) -> Vec<String> {
        let items = arguments(launch).unwrap().items;
        items
            .into_iter()
            .filter_map(|item| match item {
                Argument::Plain(text) => Some(text.into_string().unwrap()),
                Argument::File { .. } => None,
            })
            .collect()
    }

    fn files(launch: &Launch) -> Vec<(&'static str, String)> {
        let items = arguments(launch).unwrap().items;
        items
            .into_iter()
            .filter_map(|item| match item {
                Argument::File { flag, content, .. } => Some((flag, String::from_utf8(content).unwrap())),
                Argument::Plain(_) => None,
            })
            .collect()
    }

    #[test]
    fn the_least() {
        let expected = [
            "--print",
            "--verbose",
            "--include-partial-messages",
            "--output-format=stream-json",
            "--input-format=stream-json",
            "--permission-prompt-tool=stdio",
            "--session-id=00000000-0000-0000-0000-000000000000",
            "--setting-sources=",
        ];
        assert_eq!(plain(&launch()), expected);
        assert!(files(&launch()).is_empty());
    }

    #[test]
    fn every_option_has_its_argument_and_no_value_is_a_flag() {
        let mut launch = launch();
        launch.conversation = Conversation::Resume(Uuid::nil());
        launch.max_thinking_tokens = Some(9);
        launch.options = ClaudeAgentOptions {
            allowed_tools: vec![ToolName::new("Bash(git log:*)"), ToolName::new("--model")],
            disallowed_tools: vec![ToolName::new("Write")],
            permission_mode: Some(PermissionMode::AcceptEdits),
            max_turns: Some(3),
            model: Some("--dangerously-skip-permissions".into()),
            settings: Some("/s.json".into()),
            add_dirs: vec!["-d".into(), "/e f".into()],
            fork_session: true,
            setting_sources: Some(vec![SettingSource::User, SettingSource::Local]),
            agents: Some(HashMap::from([(
                "rev".into(),
                AgentDefinition { description: "d".into(), prompt: "p".into(), tools: None, model: None },
            )])),
            extra_args: HashMap::from([("effort".into(), Some("-x".into())), ("bare".into(), None)]),
            ..ClaudeAgentOptions::default()
        };
        let expected = [
            "--resume=00000000-0000-0000-0000-000000000000",
            "--fork-session",
            "--allowedTools=Bash(git log:*)",
            "--allowedTools=--model",
            "--disallowedTools=Write",
            "--permission-mode=acceptEdits",
            "--max-turns=3",
            "--max-thinking-tokens=9",
            "--model=--dangerously-skip-permissions",
            "--settings=/s.json",
            "--add-dir=-d",
            "--add-dir=/e f",
            "--setting-sources=user,local",
            "--agents={\"rev\":{\"description\":\"d\",\"prompt\":\"p\"}}",
            "--bare",
            "--effort=-x",
        ];
        assert_eq!(plain(&launch)[6..], expected);
    }

    #[test]
    fn secrets_and_long_texts_go_through_files() {
        let mut launch = launch();
        launch.sdk_mcp = true;
        launch.append_system_prompt = Some("more".into());
        launch.options.system_prompt = Some("You are".into());
        let http = McpHttpServerConfig {
            server_type: "http".into(),
            url: "http://h".into(),
            headers: Some(HashMap::from([("Authorization".into(), "secret".into())])),
        };
        launch.options.mcp_servers =
            McpServers::Dict(HashMap::from([("h".into(), McpServerConfig::Http(http))]));
        let files = files(&launch);
        assert_eq!(files[0], ("system-prompt-file", "You are".into()));
        assert_eq!(files[1], ("append-system-prompt-file", "more".into()));
        let mcp: Value = serde_json::from_str(&files[2].1).unwrap();
        let expected = json!({"mcpServers":{
            "client":{"type":"sdk","name":"client"},
            "h":{"type":"http","url":"http://h","headers":{"Authorization":"secret"}}}});
        assert_eq!((files[2].0, mcp), ("mcp-config", expected));
        assert!(!plain(&launch).iter().any(|argument| argument.contains("secret")));
    }

    #[test]
    fn settings_of_any_size_go_through_a_file() {
        let mut launch = launch();
        let settings = json!({"permissions":{"allow":["Bash(x:*)".repeat(100_000)]}}).to_string();
        launch.options.settings = Some(settings.clone().into());
        assert_eq!(files(&launch), [("settings", settings)]);
        assert!(!plain(&launch).iter().any(|argument| argument.contains("settings=")));
    }

    #[test]
    fn a_presets_text_and_the_launchs_are_both_appended() {
        let mut launch = launch();
        launch.append_system_prompt = Some("two".into());
        let preset = SystemPromptPreset {
            prompt_type: "preset".into(),
            preset: "claude_code".into(),
            append: Some("one".into()),
        };
        launch.options.system_prompt = Some(SystemPrompt::Preset(preset));
        assert_eq!(files(&launch), [("append-system-prompt-file", "one\n\ntwo".to_owned())]);
    }

    #[test]
    fn bad_extra_arguments_are_refused() {
        for (name, value, error) in [
            ("", None, ArgsError::BadFlag(String::new())),
            ("-p", None, ArgsError::BadFlag("-p".into())),
            ("a b", None, ArgsError::BadFlag("a b".into())),
            ("resume", Some("x"), ArgsError::OwnFlag("resume".into())),
            ("effort", Some("a\0b"), ArgsError::Nul("effort".into())),
        ] {
            let mut launch = launch();
            launch.options.extra_args = HashMap::from([(name.to_owned(), value.map(str::to_owned))]);
            assert_eq!(arguments(&launch).unwrap_err(), error);
        }
    }
}
