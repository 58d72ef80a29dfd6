//! From a session's configuration to the options that its agent is launched with.

use std::collections::HashMap;

use claude_agent_sdk::{
    ClaudeAgentOptions, McpHttpServerConfig, McpServerConfig, McpServers, McpSseServerConfig,
    McpStdioServerConfig, SystemPrompt,
};

use super::state::LaunchPlan;
use crate::converter::agent_mode;
use crate::protocol::{McpServer, McpTransport};

/// The options of `plan`, for the process driver.
pub(super) fn options(plan: &LaunchPlan) -> ClaudeAgentOptions {
    let config = &plan.config;
    ClaudeAgentOptions {
        system_prompt: config.system_prompt.clone().map(SystemPrompt::String),
        mcp_servers: mcp_servers(&config.mcp_servers),
        permission_mode: Some(agent_mode(config.permission_mode)),
        max_turns: config.max_turns,
        model: config.model.clone(),
        cwd: config.cwd.as_ref().map(Into::into),
        add_dirs: config.add_dirs.iter().map(Into::into).collect(),
        include_partial_messages: true,
        // Rules go in as settings and not as arguments: only those can be replaced while the agent runs.
        settings: Some(plan.settings.clone().into()),
        // None of the machine's own settings: a session is what its client asked for.
        setting_sources: Some(Vec::new()),
        extra_args: config
            .effort
            .iter()
            .map(|effort| ("effort".to_owned(), Some(effort.name().to_owned())))
            .collect(),
        ..ClaudeAgentOptions::default()
    }
}

fn mcp_servers(servers: &[McpServer]) -> McpServers {
    if servers.is_empty() {
        return McpServers::None;
    }
    McpServers::Dict(servers.iter().map(|server| (server.name.clone(), mcp_server(server))).collect())
}

fn mcp_server(server: &McpServer) -> McpServerConfig {
    let pairs = |pairs: &crate::protocol::Pairs| -> Option<HashMap<String, String>> {
        (!pairs.is_empty())
            .then(|| pairs.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    let url = server.url.clone().unwrap_or_default();
    let headers = pairs(&server.headers);
    match server.transport {
        Some(McpTransport::Http) => {
            McpServerConfig::Http(McpHttpServerConfig { server_type: "http".to_owned(), url, headers })
        }
        Some(McpTransport::Sse) => {
            McpServerConfig::Sse(McpSseServerConfig { server_type: "sse".to_owned(), url, headers })
        }
        Some(McpTransport::Stdio) | None => McpServerConfig::Stdio(McpStdioServerConfig {
            server_type: Some("stdio".to_owned()),
            command: server.command.clone().unwrap_or_default(),
            args: (!server.args.is_empty()).then(|| server.args.clone()),
            env: pairs(&server.env),
        }),
    }
}
