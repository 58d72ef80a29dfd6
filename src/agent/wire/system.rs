//! `system`, `rate_limit_event` and `tool_progress`: what goes on around the conversation.

use super::lenient::{List, Raw, lenient};

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
        /// `notification`: text for people.
        text: Raw<'a> = "text",
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
        /// `compact_boundary`: `{trigger, pre_tokens}`, and what it has kept.
        compact_metadata: CompactMetadata<'a> = "compact_metadata",
        /// `model_refusal_fallback`: ids of lines that it has dropped.
        retracted: List<Raw<'a>> = "retracted_message_uuids",
        /// `model_fallback`: the model that was asked first.
        original_model: Raw<'a> = "original_model",
        /// `model_fallback`: the model that answers.
        fallback_model: Raw<'a> = "fallback_model",
        /// `permission_denied`: the tool.
        tool_name: Raw<'a> = "tool_name",
        /// The tool call it is about; for tasks, the one that started them.
        tool_use_id: Raw<'a> = "tool_use_id",
        /// Tasks: the task's id; a subagent calls itself `agent_id` by it.
        task_id: Raw<'a> = "task_id",
        /// Tasks: the id of this run of it; a turn over its end names that.
        run_id: Raw<'a> = "run_id",
        /// `task_started`: `local_bash`, `local_agent`, …
        task_type: Raw<'a> = "task_type",
        /// `task_started` of a subagent: its type.
        subagent_type: Raw<'a> = "subagent_type",
        /// Tasks: what they do, in words.
        description: Raw<'a> = "description",
        /// `task_started`: whether the turn goes on without it (newer versions only).
        is_backgrounded: Raw<'a> = "is_backgrounded",
        /// `task_updated`: what changed.
        patch: TaskPatch<'a> = "patch",
        /// Tasks: what came of them, or what they are at.
        summary: Raw<'a> = "summary",
        /// `task_notification`: where what came of it stands.
        output_file: Raw<'a> = "output_file",
        /// Tasks: what they have used.
        usage: TaskUsage<'a> = "usage",
        /// `task_progress`: the tool that was called last.
        last_tool_name: Raw<'a> = "last_tool_name",
        /// `permission_denied`: why.
        decision_reason: Raw<'a> = "decision_reason",
        /// `permission_denied`: why, where it is called that.
        reason: Raw<'a> = "reason",
        /// `status`, and tasks: what they are at.
        status: Raw<'a> = "status",
        /// `status`: the agent's permission mode, where it has changed.
        permission_mode: Raw<'a> = "permissionMode",
        /// `status` `requesting`: the `uuid`s of the user messages that the model is asked about (newer versions only).
        user_message_uuids: List<Raw<'a>> = "user_message_uuids",
        /// `status`: what a compaction came to, `success` or `failed`.
        compact_result: Raw<'a> = "compact_result",
        /// `status`: why it failed, in words.
        compact_error: Raw<'a> = "compact_error",
    }
}

lenient! {
    /// `command_lifecycle` (newer versions only): what becomes of a user message that had a `uuid`, or of a prompt of the agent's
    /// own.
    pub CommandLifecycle {
        /// The message.
        command_uuid: Raw<'a> = "command_uuid",
        /// `queued`, `started`, `completed`, `cancelled`.
        state: Raw<'a> = "state",
    }
}

lenient! {
    /// `patch` of a `task_updated`.
    pub TaskPatch {
        /// `completed`, `failed`, `killed`, …
        status: Raw<'a> = "status",
        /// Whether the turn goes on without it.
        is_backgrounded: Raw<'a> = "is_backgrounded",
    }
}

lenient! {
    /// `usage` of a task.
    pub TaskUsage {
        /// Tokens.
        total_tokens: Raw<'a> = "total_tokens",
        /// Calls of tools.
        tool_uses: Raw<'a> = "tool_uses",
        /// Milliseconds.
        duration_ms: Raw<'a> = "duration_ms",
    }
}

lenient! {
    /// The input of a call that may begin a task: the fields of all such tools.
    pub TaskInput {
        /// What for, in words.
        description: Raw<'a> = "description",
        /// `Agent`: the type of subagent.
        subagent_type: Raw<'a> = "subagent_type",
        /// `Agent`, `Bash`: whether the turn goes on without it.
        run_in_background: Raw<'a> = "run_in_background",
        /// `CronCreate`, `ScheduleWakeup`: what the agent will tell itself.
        prompt: Raw<'a> = "prompt",
        /// `ScheduleWakeup`: why.
        reason: Raw<'a> = "reason",
        /// `CronDelete`: the schedule.
        id: Raw<'a> = "id",
    }
}

lenient! {
    /// `tool_use_result` of a `user` line: the fields that tell of a task.
    pub TaskResult {
        /// `Bash`: the task that goes on.
        background_task_id: Raw<'a> = "backgroundTaskId",
        /// `Agent`: the task that was begun, or has ended.
        agent_id: Raw<'a> = "agentId",
        /// `Agent`: `async_launched` where it goes on.
        status: Raw<'a> = "status",
        /// `Monitor`: the task that was begun.
        task_id: Raw<'a> = "taskId",
        /// `CronCreate`: the schedule.
        id: Raw<'a> = "id",
        /// `CronCreate`: its times, in words.
        human_schedule: Raw<'a> = "humanSchedule",
        /// `CronCreate`: whether it fires more than once.
        recurring: Raw<'a> = "recurring",
        /// `CronCreate`: when it fires next, Unix milliseconds (newer versions only).
        next_fire_at: Raw<'a> = "nextFireAt",
        /// `ScheduleWakeup`: when it fires, Unix milliseconds; 0: never.
        scheduled_for: Raw<'a> = "scheduledFor",
        /// `CronList`: the schedules that there are.
        jobs: Raw<'a> = "jobs",
    }
}

lenient! {
    /// `compact_metadata`.
    pub CompactMetadata {
        /// The messages that were not compacted. The agent says some of them once more, with the `uuid` that they had.
        preserved: Preserved<'a> = "preserved_messages",
    }
}

lenient! {
    /// `preserved_messages`.
    pub Preserved {
        /// Ids of their lines.
        uuids: List<Raw<'a>> = "uuids",
        /// The same, with those that are not shown.
        all_uuids: List<Raw<'a>> = "all_uuids",
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
