//! `system`, `rate_limit_event` and `tool_progress`: what goes on around the conversation.

use super::lenient::{Raw, lenient};

lenient! {
    /// `system/init`: comes at the start of every turn.
    pub Init {
        /// Version of Claude Code.
        claude_code_version: Raw<'a> = "claude_code_version",
        /// The agent's conversation.
        session_id: Raw<'a> = "session_id",
        /// Working directory.
        cwd: Raw<'a> = "cwd",
        /// The model.
        model: Raw<'a> = "model",
        /// The agent's permission mode (`default`, `acceptEdits`, …).
        permission_mode: Raw<'a> = "permissionMode",
        /// Names of its tools.
        tools: Raw<'a> = "tools",
        /// Its MCP servers and their state.
        mcp_servers: Raw<'a> = "mcp_servers",
        /// Its slash commands.
        slash_commands: Raw<'a> = "slash_commands",
    }
}

lenient! {
    /// Any other `system` message: the fields of those that have a form in the protocol.
    pub SystemMessage {
        /// `status`, `api_retry`, `compact_boundary`, …
        subtype: Raw<'a> = "subtype",
        /// Text for people.
        message: Raw<'a> = "message",
        /// Text for people, where it is called that.
        content: Raw<'a> = "content",
        /// `api_retry`: the attempt, from 1.
        attempt: Raw<'a> = "attempt",
        /// `api_retry`: how many there will be at most.
        max_retries: Raw<'a> = "max_retries",
        /// `api_retry`: time to the next attempt, milliseconds.
        retry_delay_ms: Raw<'a> = "retry_delay_ms",
        /// `api_retry`: the HTTP status.
        error_status: Raw<'a> = "error_status",
        /// `api_retry`: the kind of error.
        error: Raw<'a> = "error",
        /// `compact_boundary`: `{trigger, pre_tokens}`.
        compact_metadata: Raw<'a> = "compact_metadata",
        /// `permission_denied`: the tool.
        tool_name: Raw<'a> = "tool_name",
        /// The tool call it is about; for tasks, the one that started them.
        tool_use_id: Raw<'a> = "tool_use_id",
        /// Tasks: the task's id; a subagent calls itself `agent_id` by it.
        task_id: Raw<'a> = "task_id",
        /// `permission_denied`: why.
        decision_reason: Raw<'a> = "decision_reason",
        /// `permission_denied`: why, where it is called that.
        reason: Raw<'a> = "reason",
        /// `status`, and tasks: what they are at.
        status: Raw<'a> = "status",
        /// `status`: the agent's permission mode, where it has changed.
        permission_mode: Raw<'a> = "permissionMode",
    }
}

lenient! {
    /// `rate_limit_event`.
    pub RateLimit {
        /// What is known.
        info: RateLimitInfo<'a> = "rate_limit_info",
    }
}

lenient! {
    /// `rate_limit_info`.
    pub RateLimitInfo {
        /// `allowed`, `allowed_warning`, `rejected`.
        status: Raw<'a> = "status",
        /// Which limit (`five_hour`, `seven_day`, …).
        kind: Raw<'a> = "rateLimitType",
        /// When it ends, Unix seconds.
        resets_at: Raw<'a> = "resetsAt",
        /// Share that is used, 0 to 1.
        utilization: Raw<'a> = "utilization",
    }
}

lenient! {
    /// `tool_progress`: a tool is still running.
    pub ToolProgress {
        /// The call.
        tool_use_id: Raw<'a> = "tool_use_id",
        /// The tool.
        tool_name: Raw<'a> = "tool_name",
        /// Seconds so far.
        elapsed: Raw<'a> = "elapsed_time_seconds",
        /// Set for a subagent's tools.
        parent_tool_use_id: Raw<'a> = "parent_tool_use_id",
    }
}
