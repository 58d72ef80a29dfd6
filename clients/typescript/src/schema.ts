// Made from docs/protocol.schema.json by `npm run types`. Do not edit.

/**
 * One text frame of the WebSocket, in either direction. Validate against `#/$defs/ClientMessage` or `#/$defs/ServerMessage`. Unknown fields are allowed and ignored.
 */
export type WireMessage = ClientMessage | ServerMessage;
/**
 * Any frame that a client may send.
 */
export type ClientMessage =
  | ClientBackground
  | ClientCancel
  | ClientConfigQuery
  | ClientConfigUpdate
  | ClientElicitationResponse
  | ClientHeartbeat
  | ClientInterrupt
  | ClientNewSession
  | ClientPermissionResponse
  | ClientPermissionUpdate
  | ClientResultRead
  | ClientResume
  | ClientSessionEnd
  | ClientSessionInfo
  | ClientSessionList
  | ClientSessionStart
  | ClientTaskOutput
  | ClientTaskStop
  | ClientToolResult
  | ClientUserMessage;
/**
 * How much the model thinks before and while it acts.
 */
export type Effort = 'low' | 'medium' | 'high' | 'xhigh' | 'max';
/**
 * Who is asked before a tool runs.
 */
export type PermissionModeInput =
  'manual' | 'default' | 'auto' | 'acceptEdits' | 'plan' | 'bypass' | 'bypassPermissions';
/**
 * What a person does with it, in MCP's words.
 */
export type ElicitationAction = 'accept' | 'decline' | 'cancel';
/**
 * Names with values: an object, or ACP's array of `{name, value}`.
 */
export type Pairs =
  | {
      [k: string]: string;
    }
  | Pair[];
/**
 * How an MCP server is reached.
 */
export type McpTransport = 'stdio' | 'http' | 'sse';
/**
 * An answer to a permission prompt.
 */
export type Decision = 'allow' | 'deny' | 'allow_always';
/**
 * One change of a session's permission rules, in the agent's own form.
 */
export type RuleUpdate =
  | (RuleSet & {
      type: 'addRules';
    })
  | (RuleSet & {
      type: 'replaceRules';
    })
  | (RuleSet & {
      type: 'removeRules';
    })
  | {
      /**
       * The mode.
       */
      mode: PermissionModeInput;
      type: 'setMode';
    }
  | {
      /**
       * Absolute paths.
       */
      directories: string[];
      type: 'addDirectories';
    }
  | {
      /**
       * Absolute paths.
       */
      directories: string[];
      type: 'removeDirectories';
    };
/**
 * What a rule says.
 */
export type RuleBehavior = 'allow' | 'deny' | 'ask';
/**
 * Whether a session lives.
 */
export type Liveness = 'active' | 'dormant' | 'ended';
/**
 * Both forms of a list of servers, for the schema.
 */
export type McpServers =
  | McpServerInput[]
  | {
      [k: string]: McpServerEntry;
    };
/**
 * What a client says about a tool: its result, or the answers to a question.
 */
export type ToolContent =
  | string
  | ContentBlock[]
  | {
      [k: string]: unknown;
    };
/**
 * What a user says: text, or content blocks. A string that holds a JSON array of blocks counts as those blocks.
 */
export type Content = string | ContentBlock[];
/**
 * Any frame that the server may send.
 */
export type ServerMessage =
  | ServerAgentEvent
  | ServerAssistantMessageComplete
  | ServerAssistantMessageDelta
  | ServerAssistantMessageRetracted
  | ServerAssistantMessageStart
  | ServerCancelled
  | ServerConfigResponse
  | ServerConfigUpdated
  | ServerConversationReset
  | ServerElicitationRequest
  | ServerElicitationResolved
  | ServerError
  | ServerHeartbeat
  | ServerInterrupted
  | ServerNewSession
  | ServerPermissionRequest
  | ServerPermissionResolved
  | ServerResult
  | ServerResultRead
  | ServerSessionEnded
  | ServerSessionInfo
  | ServerSessionList
  | ServerStatusUpdate
  | ServerTaskOutput
  | ServerTaskUpdate
  | ServerToolResult
  | ServerToolUse
  | ServerUserMessage
  | ServerWarning;
/**
 * A piece of a message of the model.
 */
export type Delta =
  | {
      delta_type: 'text';
      /**
       * The piece.
       */
      text: string;
    }
  | {
      delta_type: 'thinking';
      /**
       * The piece.
       */
      thinking: string;
    }
  | {
      delta_type: 'tool_use';
      /**
       * Its input, an object.
       */
      tool_input: {
        [k: string]: unknown;
      };
      /**
       * The tool.
       */
      tool_name: string;
      /**
       * The call's id.
       */
      tool_use_id: string;
    }
  | {
      delta_type: 'tool_input';
      /**
       * The piece.
       */
      partial_json: string;
      /**
       * The tool.
       */
      tool_name: string;
      /**
       * The call's id.
       */
      tool_use_id: string;
    };
/**
 * Why a message is taken back.
 */
export type RetractionReason = 'retry' | 'refusal' | 'superseded';
/**
 * Who is asked before a tool runs.
 */
export type PermissionMode = 'manual' | 'auto' | 'plan' | 'bypass';
/**
 * Why the model knows nothing earlier.
 */
export type ResetReason = 'clear' | 'rewind';
/**
 * How the person is to answer.
 */
export type ElicitationMode = 'form' | 'url';
/**
 * Who or what ended a prompt.
 */
export type ResolvedBy = 'client' | 'interrupt' | 'session_ended' | 'timeout' | 'agent' | 'rule';
/**
 * `error.code`: what was wrong with a request, or what went wrong in a session.
 */
export type ErrorCode =
  | 'invalid_json'
  | 'invalid_message'
  | 'unknown_type'
  | 'unsupported_frame'
  | 'unknown_session'
  | 'session_ended'
  | 'unknown_request'
  | 'forbidden'
  | 'invalid_cwd'
  | 'queue_full'
  | 'capacity'
  | 'rate_limited'
  | 'agent_unavailable'
  | 'agent_failed'
  | 'unsupported'
  | 'internal';
/**
 * What an interrupt came to.
 */
export type InterruptOutcome = 'interrupted' | 'agent_killed' | 'nothing_running';
/**
 * How dangerous a tool call is held to be.
 */
export type RiskLevel = 'low' | 'medium' | 'high';
/**
 * How a prompt ended.
 */
export type Resolution = 'allow' | 'deny' | 'allow_always' | 'cancelled';
/**
 * Why a turn failed.
 */
export type TurnErrorCode =
  'max_turns' | 'max_budget' | 'api_error' | 'agent_exited' | 'agent_unavailable' | 'compact_failed' | 'execution';
/**
 * Why the agent began a turn by itself.
 */
export type OriginKind = 'task' | 'schedule' | 'monitor' | 'other';
/**
 * How a turn ended.
 */
export type ResultSubtype = 'success' | 'error' | 'interrupted' | 'cancelled';
/**
 * Why a session ended.
 */
export type EndReason = 'client' | 'disconnected' | 'idle' | 'shutdown' | 'failed';
/**
 * Whether a session's agent process is there.
 */
export type AgentState = 'stopped' | 'waiting' | 'starting' | 'running';
/**
 * The verdict on a replay.
 */
export type Replay = 'none' | 'ok' | 'gap' | 'reset';
/**
 * What a session is doing.
 */
export type SessionStatus = 'idle' | 'thinking' | 'executing_tool' | 'waiting_permission' | 'compacting' | 'starting';
/**
 * What kind of work it is.
 */
export type TaskKind = 'shell' | 'agent' | 'schedule' | 'monitor' | 'other';
/**
 * Where it stands.
 */
export type TaskStatus = 'running' | 'completed' | 'failed' | 'stopped';
/**
 * Who runs a tool.
 */
export type Executor = 'agent' | 'client';
/**
 * `warning.code`: something a person may want to know; nothing was lost.
 */
export type WarningCode =
  | 'api_retry'
  | 'rate_limit'
  | 'context_compacted'
  | 'permission_denied'
  | 'agent_restarted'
  | 'nothing_to_resume'
  | 'duplicate_message'
  | 'config_ignored'
  | 'agent_line_skipped'
  | 'gap'
  | 'store_unavailable'
  | 'tasks_stopped'
  | 'model_fallback'
  | 'agent_notice';

/**
 * `background`.
 */
export interface ClientBackground {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * The call that is to go on without the turn; none: all that run.
   */
  tool_use_id?: string;
  type: 'background';
}
/**
 * `cancel`.
 */
export interface ClientCancel {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * The `id` of a user message, a `permission_request` or an `elicitation_request`.
   */
  target_id: string;
  type: 'cancel';
}
/**
 * A message without fields of its own.
 */
export interface ClientConfigQuery {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'config_query';
}
/**
 * `config_update`.
 */
export interface ClientConfigUpdate {
  /**
   * What to change.
   */
  config: ConfigUpdateFields;
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'config_update';
}
/**
 * What `config_update` may change. An absent field stays as it is.
 */
export interface ConfigUpdateFields {
  /**
   * How much the model thinks; `null`: the model's own default.
   */
  effort?: Effort;
  /**
   * Most tokens of thinking.
   */
  max_thinking_tokens?: number;
  /**
   * Most agent steps a turn may take, 1 to 1000; needs a restart of the agent between turns.
   */
  max_turns?: number;
  /**
   * The model.
   */
  model?: string;
  /**
   * Who is asked.
   */
  permission_mode?: PermissionModeInput;
}
/**
 * `elicitation_response`.
 */
export interface ClientElicitationResponse {
  /**
   * The answer.
   */
  action: ElicitationAction;
  /**
   * With `accept`: what was filled in, by property: strings, numbers, booleans, arrays of strings.
   */
  content?: {
    [k: string]: unknown;
  };
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The `id` of the `elicitation_request`.
   */
  request_id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'elicitation_response';
}
/**
 * A message without fields of its own.
 */
export interface ClientHeartbeat {
  /**
   * The client's id of this message.
   */
  id?: string;
  /**
   * The session that is meant.
   */
  session_id?: string;
  type: 'heartbeat';
}
/**
 * `interrupt`.
 */
export interface ClientInterrupt {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * Why; for the log.
   */
  reason?: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * Whether background tasks are stopped too.
   */
  tasks?: boolean;
  type: 'interrupt';
}
/**
 * `new_session`, ACP's form.
 */
export interface ClientNewSession {
  /**
   * Absolute working directory.
   */
  cwd: string;
  /**
   * The client's id of this message.
   */
  id?: string;
  /**
   * MCP servers of the session; `mcpServers` is understood too.
   */
  mcp_servers: McpServerInput[];
  /**
   * The session that is meant.
   */
  session_id?: string;
  type: 'new_session';
}
/**
 * One MCP server. `type` absent means stdio, as in ACP and in Claude's configuration.
 */
export interface McpServerInput {
  /**
   * stdio: its arguments.
   */
  args?: string[];
  /**
   * stdio: the program.
   */
  command?: string;
  /**
   * stdio: its environment, as ACP's array of `{name, value}` or as an object.
   */
  env?: Pairs;
  /**
   * http, sse: headers, as ACP's array of `{name, value}` or as an object.
   */
  headers?: Pairs;
  /**
   * The server's name, unique within the session.
   */
  name: string;
  /**
   * `stdio` (default), `http` or `sse`.
   */
  type?: McpTransport;
  /**
   * http, sse: the address.
   */
  url?: string;
}
/**
 * One entry of `Pairs::Array`.
 */
export interface Pair {
  /**
   * The name.
   */
  name: string;
  /**
   * Its value.
   */
  value: string;
}
/**
 * `permission_response`.
 */
export interface ClientPermissionResponse {
  /**
   * The answer.
   */
  decision: Decision;
  /**
   * With `deny`: the reason, which the model reads.
   */
  explanation?: string;
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * With `deny`: also ends the turn.
   */
  interrupt?: boolean;
  /**
   * The `id` of the `permission_request`.
   */
  request_id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'permission_response';
  /**
   * With `allow`: the input that the tool is to run with instead; an object.
   */
  updated_input?: {
    [k: string]: unknown;
  };
  /**
   * With `allow`: rules to apply, instead of those that `allow_always` would; an array of the agent's updates.
   */
  updated_permissions?: AgentRuleUpdate[];
}
/**
 * A change of permission rules in the agent's own form (`addRules`, `addDirectories`, `setMode` …).
 */
export interface AgentRuleUpdate {
  /**
   * What kind of change it is.
   */
  type: string;
  [k: string]: unknown;
}
/**
 * `permission_update`.
 */
export interface ClientPermissionUpdate {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'permission_update';
  /**
   * Changes, in order.
   *
   * @minItems 1
   */
  updates: RuleUpdate[];
}
/**
 * Rules of one behavior.
 */
export interface RuleSet {
  /**
   * What they say.
   */
  behavior?: RuleBehavior & string;
  /**
   * The rules.
   */
  rules: Rule[];
}
/**
 * One permission rule: a tool, and what of it.
 */
export interface Rule {
  /**
   * `git:*`, a path pattern …; absent: the whole tool.
   */
  ruleContent?: string;
  /**
   * `Bash`, `Read`, `mcp__server__tool` …
   */
  toolName: string;
}
/**
 * `result_read` from a client.
 */
export interface ClientResultRead {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * Longest page, bytes, 1–1,048,576; absent: 65,536. A page has at least one character, where any is left.
   */
  max_bytes?: number;
  /**
   * Where the page begins in the whole content, bytes.
   */
  offset?: number;
  /**
   * `seq` of the `tool_result` event.
   */
  seq: number;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * The call.
   */
  tool_use_id: string;
  type: 'result_read';
}
/**
 * A message without fields of its own.
 */
export interface ClientResume {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'resume';
}
/**
 * `session_end`.
 */
export interface ClientSessionEnd {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * Why; for the log.
   */
  reason?: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'session_end';
}
/**
 * A message without fields of its own.
 */
export interface ClientSessionInfo {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'session_info';
}
/**
 * `session_list`: which of the caller's sessions, and which page of them.
 */
export interface ClientSessionList {
  /**
   * `next_cursor` of the page before.
   */
  cursor?: string;
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * Most sessions of the page, 1–1000; absent: 100.
   */
  limit?: number;
  /**
   * Pairs that the session's `metadata` must have.
   */
  metadata?: {
    [k: string]: string;
  };
  /**
   * Text that must be in the working directory or in a value of `metadata`; case does not count.
   */
  search?: string;
  /**
   * The session that is meant.
   */
  session_id?: string;
  /**
   * One of these; empty: any.
   */
  status?: Liveness[];
  type: 'session_list';
}
/**
 * Creates a session, or attaches to one.
 */
export interface ClientSessionStart {
  /**
   * Further directories that the agent may work in.
   */
  add_dirs?: string[];
  /**
   * Whether messages of the agent that have no form of their own here are handed on as `agent_event`; default no.
   */
  agent_events?: boolean;
  /**
   * Permission rules that allow, in the agent's own syntax (`Bash(git:*)`).
   */
  allowed_tools?: string[];
  /**
   * Is added to the agent's system prompt.
   */
  append_system_prompt?: string;
  /**
   * Tools that the front end runs.
   */
  client_tools?: ClientTool[];
  /**
   * The same options, nested; what stands here wins.
   */
  config?: {
    /**
     * Further directories that the agent may work in.
     */
    add_dirs?: string[];
    /**
     * Whether messages of the agent that have no form of their own here are handed on as `agent_event`; default no.
     */
    agent_events?: boolean;
    /**
     * Permission rules that allow, in the agent's own syntax (`Bash(git:*)`).
     */
    allowed_tools?: string[];
    /**
     * Is added to the agent's system prompt.
     */
    append_system_prompt?: string;
    /**
     * Tools that the front end runs.
     */
    client_tools?: ClientTool[];
    /**
     * The agent's working directory; default: the first workspace root.
     */
    cwd?: string;
    /**
     * Permission rules that deny.
     */
    disallowed_tools?: string[];
    /**
     * How much the model thinks; default: the model's own.
     */
    effort?: Effort;
    /**
     * The epoch that `last_seq` came from; absent: taken to match.
     */
    epoch?: string;
    /**
     * The last event that the client has seen; absent: live events only.
     */
    last_seq?: number;
    /**
     * Longest `content` of a `tool_result` event that this connection is sent of the session, bytes; a longer one is cut and the rest
     * is there for `result_read`. Absent: none is cut.
     */
    max_content_bytes?: number;
    /**
     * Most tokens of thinking; default: the agent's own.
     */
    max_thinking_tokens?: number;
    /**
     * Most agent steps (API round trips) a turn may take; default: the agent's own.
     */
    max_turns?: number;
    /**
     * MCP servers: an array in ACP's form, or an object from name to server as in Claude's configuration.
     */
    mcp_servers?: McpServers;
    /**
     * Free key–value pairs of the front end; at most 64, kept and shown, never interpreted.
     */
    metadata?: {
      [k: string]: string;
    };
    /**
     * The model; default: `--model`, else the agent's own.
     */
    model?: string;
    /**
     * Who is asked before a tool runs; default `manual`.
     */
    permission_mode?: PermissionModeInput;
    /**
     * Whether what a subagent says is told while the turn waits for it (of one in the background it always is); default yes.
     */
    subagent_text?: boolean;
    /**
     * Replaces the agent's system prompt.
     */
    system_prompt?: string;
  };
  /**
   * The agent's working directory; default: the first workspace root.
   */
  cwd?: string;
  /**
   * Permission rules that deny.
   */
  disallowed_tools?: string[];
  /**
   * How much the model thinks; default: the model's own.
   */
  effort?: Effort;
  /**
   * The epoch that `last_seq` came from; absent: taken to match.
   */
  epoch?: string;
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The last event that the client has seen; absent: live events only.
   */
  last_seq?: number;
  /**
   * Longest `content` of a `tool_result` event that this connection is sent of the session, bytes; a longer one is cut and the rest
   * is there for `result_read`. Absent: none is cut.
   */
  max_content_bytes?: number;
  /**
   * Most tokens of thinking; default: the agent's own.
   */
  max_thinking_tokens?: number;
  /**
   * Most agent steps (API round trips) a turn may take; default: the agent's own.
   */
  max_turns?: number;
  /**
   * MCP servers: an array in ACP's form, or an object from name to server as in Claude's configuration.
   */
  mcp_servers?: McpServers;
  /**
   * Free key–value pairs of the front end; at most 64, kept and shown, never interpreted.
   */
  metadata?: {
    [k: string]: string;
  };
  /**
   * The model; default: `--model`, else the agent's own.
   */
  model?: string;
  /**
   * Who is asked before a tool runs; default `manual`.
   */
  permission_mode?: PermissionModeInput;
  /**
   * The session that is meant.
   */
  session_id?: string;
  /**
   * Whether what a subagent says is told while the turn waits for it (of one in the background it always is); default yes.
   */
  subagent_text?: boolean;
  /**
   * Replaces the agent's system prompt.
   */
  system_prompt?: string;
  type: 'session_start';
}
/**
 * A tool that the front end runs: the model calls it, the client gets a `tool_use` with `executor: "client"`.
 */
export interface ClientTool {
  /**
   * What it does, for the model.
   */
  description: string;
  /**
   * JSON Schema of its input; an object schema.
   */
  input_schema: {
    type: 'object';
    [k: string]: unknown;
  };
  /**
   * 1–64 of `A-Z a-z 0-9 _ -`; the model sees it as `mcp__client__NAME`.
   */
  name: string;
}
/**
 * A server as it stands on the wire; in the object form its name is the key.
 */
export interface McpServerEntry {
  args?: string[];
  command?: string;
  env?: Pairs;
  headers?: Pairs;
  type?: McpTransport;
  url?: string;
}
/**
 * `task_output` from a client.
 */
export interface ClientTaskOutput {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * The task.
   */
  task_id: string;
  type: 'task_output';
}
/**
 * `task_stop`.
 */
export interface ClientTaskStop {
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * The task.
   */
  task_id: string;
  type: 'task_stop';
}
/**
 * `tool_result` from a client.
 */
export interface ClientToolResult {
  /**
   * A string, or an array of content blocks; for an `AskUserQuestion`, a JSON object of answers.
   */
  content: ToolContent;
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * Whether the tool failed.
   */
  is_error?: boolean;
  /**
   * The session that is meant.
   */
  session_id: string;
  /**
   * The `tool_use` that this answers.
   */
  tool_use_id: string;
  type: 'tool_result';
}
/**
 * A content block of the Messages API: `text`, `image`, `document` …; its other fields are the API's.
 */
export interface ContentBlock {
  /**
   * What kind of block it is.
   */
  type: string;
  [k: string]: unknown;
}
/**
 * `user_message`.
 */
export interface ClientUserMessage {
  /**
   * A string, an array of content blocks, or a string that holds a JSON array of blocks.
   */
  content: Content;
  /**
   * The client's id of this message.
   */
  id: string;
  /**
   * The tool use that this belongs to.
   */
  parent_tool_use_id?: string;
  /**
   * The session that is meant.
   */
  session_id: string;
  type: 'user_message';
}
/**
 * `agent_event` event.
 */
export interface ServerAgentEvent {
  /**
   * The agent's message, untouched.
   */
  event: {
    [k: string]: unknown;
  };
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'agent_event';
}
/**
 * `assistant_message_complete` event.
 */
export interface ServerAssistantMessageComplete {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * As in the start.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * The API's stop reason, `interrupted`, or `abandoned`: a part of the message is void, and an
   * `AssistantMessageRetracted` says what stands.
   */
  stop_reason?: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'assistant_message_complete';
  /**
   * The API's usage object.
   */
  usage?: {
    [k: string]: unknown;
  };
}
/**
 * `assistant_message_delta` event.
 */
export interface ServerAssistantMessageDelta {
  /**
   * The piece.
   */
  delta: Delta;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * As in the start.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'assistant_message_delta';
}
/**
 * `assistant_message_retracted` event: the agent takes a message back, or a part of it.
 */
export interface ServerAssistantMessageRetracted {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The text of it that stands, instead of its text deltas joined; empty: none.
   */
  kept: string;
  /**
   * The thinking of it that stands; absent: none.
   */
  kept_thinking?: string;
  /**
   * The `id` of the message.
   */
  message_id: string;
  /**
   * As in the start.
   */
  parent_tool_use_id?: string;
  /**
   * Why.
   */
  reason: RetractionReason;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * Calls of it that will never come.
   */
  tool_use_ids: string[];
  type: 'assistant_message_retracted';
}
/**
 * `assistant_message_start` event.
 */
export interface ServerAssistantMessageStart {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The model that speaks; `<synthetic>` for the agent's own error texts.
   */
  model: string;
  /**
   * Set on messages of a subagent: the tool use that started it.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'assistant_message_start';
}
/**
 * `cancelled` event.
 */
export interface ServerCancelled {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * What was cancelled.
   */
  target_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'cancelled';
}
/**
 * `config_updated` event and `config_response` reply.
 */
export interface ServerConfigResponse {
  /**
   * All of the configuration, as it now is.
   */
  config: SessionConfig;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  type: 'config_response';
}
/**
 * Options of a session, as in `session_start` and `config_updated`.
 *
 * Every field is optional on the wire; what is absent takes the default given here.
 */
export interface SessionConfig {
  /**
   * Further directories that the agent may work in.
   */
  add_dirs?: string[];
  /**
   * Whether messages of the agent that have no form of their own here are handed on as `agent_event`.
   */
  agent_events?: boolean;
  /**
   * Permission rules that allow, in the agent's own syntax (`Bash(git:*)`).
   */
  allowed_tools?: string[];
  /**
   * Is added to the agent's system prompt.
   */
  append_system_prompt?: string;
  /**
   * Permission rules that make the agent ask. Only shown: `permission_update` makes them.
   */
  ask_tools?: string[];
  /**
   * Tools that the front end runs.
   */
  client_tools?: ClientTool[];
  /**
   * The agent's working directory, absolute after the start; default: the first workspace root.
   */
  cwd?: string;
  /**
   * Permission rules that deny.
   */
  disallowed_tools?: string[];
  /**
   * How much the model thinks; none: the model's own default.
   */
  effort?: Effort;
  /**
   * Most tokens of thinking; none: the agent's own default.
   */
  max_thinking_tokens?: number;
  /**
   * Most agent steps (API round trips) a turn may take; none: the agent's own default. 1 to 1000.
   */
  max_turns?: number;
  /**
   * MCP servers, in ACP's form (array with `name`) or Claude's; see `McpServer`.
   */
  mcp_servers?: McpServer[];
  /**
   * Free key–value pairs of the front end; at most 64, kept and shown, never interpreted.
   */
  metadata?: {
    [k: string]: string;
  };
  /**
   * The model; none: `--model`, else the agent's own default.
   */
  model?: string;
  /**
   * Who is asked before a tool runs.
   */
  permission_mode: PermissionMode;
  /**
   * Whether what a subagent says is told while the turn waits for it (of one in the background it always is); none: yes.
   */
  subagent_text?: boolean;
  /**
   * Replaces the agent's system prompt.
   */
  system_prompt?: string;
}
/**
 * One MCP server. `type` absent means stdio, as in ACP and in Claude's configuration.
 */
export interface McpServer {
  /**
   * stdio: its arguments.
   */
  args?: string[];
  /**
   * stdio: the program.
   */
  command?: string;
  /**
   * stdio: its environment, as ACP's array of `{name, value}` or as an object.
   */
  env?: Pairs;
  /**
   * http, sse: headers, as ACP's array of `{name, value}` or as an object.
   */
  headers?: Pairs;
  /**
   * The server's name, unique within the session.
   */
  name: string;
  /**
   * `stdio` (default), `http` or `sse`.
   */
  type?: McpTransport;
  /**
   * http, sse: the address.
   */
  url?: string;
}
/**
 * `config_updated` event and `config_response` reply.
 */
export interface ServerConfigUpdated {
  /**
   * All of the configuration, as it now is.
   */
  config: SessionConfig;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'config_updated';
}
/**
 * `conversation_reset` event: from here on the model knows nothing of what it was told and said before.
 */
export interface ServerConversationReset {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Why.
   */
  reason: ResetReason;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'conversation_reset';
}
/**
 * `elicitation_request` event.
 */
export interface ServerElicitationRequest {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * What it says.
   */
  message: string;
  /**
   * How to answer.
   */
  mode: ElicitationMode;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * In mode `form`: a JSON Schema of an object whose properties are strings, numbers, booleans or choices.
   */
  schema?: {
    [k: string]: unknown;
  };
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The MCP server that asks.
   */
  server: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * A heading.
   */
  title?: string;
  type: 'elicitation_request';
  /**
   * In mode `url`: the page. It is the server's: show it before anybody goes there, and follow only `http` and `https`.
   */
  url?: string;
}
/**
 * `elicitation_resolved` event.
 */
export interface ServerElicitationResolved {
  /**
   * What the server was told.
   */
  action: ElicitationAction;
  /**
   * The `id` of the `elicitation_request`.
   */
  elicitation_id: string;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Who ended it.
   */
  reason: ResolvedBy;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'elicitation_resolved';
}
/**
 * `error` event or reply.
 */
export interface ServerError {
  /**
   * For programs.
   */
  code: ErrorCode;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * For people; holds no secrets and no internal paths.
   */
  message: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq?: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  type: 'error';
}
/**
 * `heartbeat` from the server.
 */
export interface ServerHeartbeat {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The next message of this connection has so many bytes: it takes its time, in which nothing else can come.
   */
  incoming_bytes?: number;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'heartbeat';
}
/**
 * `interrupted` event or reply.
 */
export interface ServerInterrupted {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * More about it, for people.
   */
  message?: string;
  /**
   * What it came to.
   */
  outcome: InterruptOutcome;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq?: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * With `nothing_running`: the ids of background tasks that run all the same.
   */
  tasks?: string[];
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  type: 'interrupted';
}
/**
 * `new_session` reply.
 */
export interface ServerNewSession {
  /**
   * Unix milliseconds.
   */
  created_at: number;
  /**
   * Working directory, symlinks resolved.
   */
  cwd: string;
  /**
   * Names this run of sequence numbers.
   */
  epoch: string;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Who is asked.
   */
  permission_mode: PermissionMode;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  type: 'new_session';
}
/**
 * `permission_request` event.
 */
export interface ServerPermissionRequest {
  /**
   * The subagent that asks, where it is one.
   */
  agent?: Subagent;
  /**
   * What a person needs to decide.
   */
  context: PermissionContext;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Set on prompts of a subagent: the tool use that started it.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * The input it would run with.
   */
  tool_input: {
    [k: string]: unknown;
  };
  /**
   * The tool.
   */
  tool_name: string;
  /**
   * The call.
   */
  tool_use_id: string;
  type: 'permission_request';
}
/**
 * `agent` of a tool call or a prompt: the subagent that it comes from.
 */
export interface Subagent {
  /**
   * What it was started for, in words.
   */
  description: string;
  /**
   * Its task, once that is known.
   */
  task_id?: string;
  /**
   * Its type (`general-purpose`, …).
   */
  type: string;
}
/**
 * What a person needs to decide.
 */
export interface PermissionContext {
  /**
   * The path that made the agent ask.
   */
  blocked_path?: string;
  /**
   * What the call does, in words.
   */
  description: string;
  /**
   * Why the agent asks.
   */
  reason?: string;
  /**
   * How dangerous it is held to be.
   */
  risk_level: RiskLevel;
  /**
   * The agent's suggestions of rules, as it made them: a menu, not a bundle.
   */
  suggestions: AgentRuleUpdate[];
}
/**
 * `permission_resolved` event.
 */
export interface ServerPermissionResolved {
  /**
   * How it ended.
   */
  decision: Resolution;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The `id` of the `permission_request`.
   */
  permission_id: string;
  /**
   * Who ended it.
   */
  reason: ResolvedBy;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'permission_resolved';
}
/**
 * `result` event: the one end of a turn.
 */
export interface ServerResult {
  /**
   * Of that, in the model's API.
   */
  duration_api_ms: number;
  /**
   * Wall time of the turn, milliseconds.
   */
  duration_ms: number;
  /**
   * What went wrong, for people; only with `is_error`.
   */
  error?: string;
  /**
   * What went wrong, for programs; only with `is_error`.
   */
  error_code?: TurnErrorCode;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Whether it failed.
   */
  is_error: boolean;
  /**
   * Steps the agent took.
   */
  num_turns: number;
  /**
   * Of a turn that the agent began itself: why.
   */
  origin?: Origin;
  /**
   * Tool calls that were denied, as the agent lists them.
   */
  permission_denials?: {
    [k: string]: unknown;
  }[];
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The final text.
   */
  result?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * The API's last stop reason.
   */
  stop_reason?: string;
  /**
   * How it ended.
   */
  subtype: ResultSubtype;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * Cost as the agent counts it, US dollars.
   */
  total_cost_usd?: number;
  type: 'result';
  /**
   * The API's usage object.
   */
  usage?: {
    [k: string]: unknown;
  };
}
/**
 * `origin` of a `result` or `status_update`: what a turn comes from that no client's message began.
 */
export interface Origin {
  /**
   * What it was.
   */
  kind: OriginKind;
  /**
   * The task, where it is known which.
   */
  task_id?: string;
  /**
   * The call that began that task.
   */
  tool_use_id?: string;
}
/**
 * `result_read` reply: a page of a tool's result.
 */
export interface ServerResultRead {
  /**
   * The page.
   */
  content: string;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Where the next page begins; absent: this one was the last.
   */
  next_offset?: number;
  /**
   * Where the page begins in the content, bytes: what was asked for, or less where that lies inside a character or behind the end.
   */
  offset: number;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  /**
   * The call.
   */
  tool_use_id: string;
  /**
   * Bytes of the whole content.
   */
  total_bytes: number;
  type: 'result_read';
}
/**
 * `session_ended` event.
 */
export interface ServerSessionEnded {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Why.
   */
  reason: EndReason;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'session_ended';
}
/**
 * `session_info` reply.
 */
export interface ServerSessionInfo {
  /**
   * The agent.
   */
  agent: AgentInfo;
  /**
   * Whether this very `session_start` made it.
   */
  created: boolean;
  /**
   * Unix milliseconds.
   */
  created_at: number;
  /**
   * Working directory.
   */
  cwd: string;
  /**
   * How much the model thinks, where the session says that.
   */
  effort?: Effort;
  /**
   * Names this run of sequence numbers.
   */
  epoch: string;
  /**
   * Oldest event that can be replayed; `last_seq + 1` where there is none.
   */
  first_seq: number;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Newest event; 0 where there is none.
   */
  last_seq: number;
  /**
   * The front end's pairs.
   */
  metadata: {
    [k: string]: string;
  };
  /**
   * Model, where known.
   */
  model?: string;
  /**
   * Turns that have ended.
   */
  num_turns: number;
  /**
   * The open `elicitation_request` messages, whole.
   */
  pending_elicitations: ServerElicitationRequest[];
  /**
   * The open `permission_request` messages, whole.
   */
  pending_permissions: ServerPermissionRequest[];
  /**
   * Who is asked.
   */
  permission_mode: PermissionMode;
  /**
   * Ids of queued user messages, in order.
   */
  queued: string[];
  /**
   * The verdict on the replay that was asked for.
   */
  replay: Replay;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The server.
   */
  server: ServerInfo;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * What it is doing.
   */
  state: SessionStatus;
  /**
   * Whether the session lives.
   */
  status: Liveness;
  /**
   * Tasks that are running, oldest first.
   */
  tasks: TaskUpdate[];
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  /**
   * Cost of the session so far, US dollars.
   */
  total_cost_usd: number;
  type: 'session_info';
}
/**
 * The agent, as far as it is known.
 */
export interface AgentInfo {
  /**
   * Its MCP servers and their state.
   */
  mcp_servers?: unknown[];
  /**
   * Its slash commands.
   */
  slash_commands?: unknown[];
  /**
   * Whether its process is there.
   */
  state: AgentState;
  /**
   * Names of its tools.
   */
  tools?: unknown[];
  /**
   * Version of Claude Code.
   */
  version?: string;
}
/**
 * The server, as `session_info` shows it.
 */
export interface ServerInfo {
  /**
   * Time between heartbeats, milliseconds.
   */
  heartbeat_ms: number;
  /**
   * Largest client frame, bytes.
   */
  max_message_bytes: number;
  /**
   * `claude-ws`.
   */
  name: string;
  /**
   * Version of the protocol.
   */
  protocol: number;
  /**
   * Version of the gateway.
   */
  version: string;
}
/**
 * `task_update` event, and an entry of `session_info.tasks`.
 */
export interface TaskUpdate {
  /**
   * Of a subagent: its type.
   */
  agent_type?: string;
  /**
   * Whether the turn goes on without it.
   */
  background: boolean;
  /**
   * What it does, in words; cut at 1,000 characters.
   */
  description: string;
  /**
   * What kind of work it is.
   */
  kind: TaskKind;
  /**
   * How far it has come, where that is known. At most once a second.
   */
  progress?: TaskProgress;
  /**
   * Where it stands.
   */
  status: TaskStatus;
  /**
   * At the end: what came of it; cut at 8,000 characters.
   */
  summary?: string;
  /**
   * The task.
   */
  task_id: string;
  /**
   * The call that began it.
   */
  tool_use_id?: string;
}
/**
 * How far it has come.
 */
export interface TaskProgress {
  /**
   * Time that it has run, milliseconds.
   */
  duration_ms: number;
  /**
   * The tool that it called last.
   */
  last_tool?: string;
  /**
   * What it is doing, in words.
   */
  summary?: string;
  /**
   * Tools that it has called.
   */
  tool_uses: number;
  /**
   * Tokens that it has used.
   */
  total_tokens: number;
}
/**
 * `session_list` reply.
 */
export interface ServerSessionList {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Names the next page, where there is one.
   */
  next_cursor?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * The most recently active first.
   */
  sessions: SessionSummary[];
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  /**
   * Sessions on all pages.
   */
  total: number;
  type: 'session_list';
}
/**
 * One session of the list.
 */
export interface SessionSummary {
  /**
   * Unix milliseconds.
   */
  created_at: number;
  /**
   * Working directory.
   */
  cwd: string;
  /**
   * Unix milliseconds of the last command or event.
   */
  last_active_at: number;
  /**
   * The front end's pairs.
   */
  metadata: {
    [k: string]: string;
  };
  /**
   * Turns that have ended.
   */
  num_turns: number;
  /**
   * Number of open prompts.
   */
  pending_permissions: number;
  /**
   * The session.
   */
  session_id: string;
  /**
   * What it is doing.
   */
  state: SessionStatus;
  /**
   * Whether it lives.
   */
  status: Liveness;
  /**
   * Number of running tasks.
   */
  tasks: number;
  /**
   * Cost so far, US dollars.
   */
  total_cost_usd: number;
}
/**
 * `status_update` event.
 */
export interface ServerStatusUpdate {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * More about it, for people.
   */
  message?: string;
  /**
   * In a turn that the agent began itself: why.
   */
  origin?: Origin;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * The status.
   */
  status: SessionStatus;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'status_update';
}
/**
 * `task_output` reply.
 */
export interface ServerTaskOutput {
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * The last 8 KiB of what it has written.
   */
  output: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * The task.
   */
  task_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  /**
   * All that it has written, bytes.
   */
  total_bytes: number;
  /**
   * Whether `output` is not all of it.
   */
  truncated: boolean;
  type: 'task_output';
}
/**
 * `task_update` event, and an entry of `session_info.tasks`.
 */
export interface ServerTaskUpdate {
  /**
   * Of a subagent: its type.
   */
  agent_type?: string;
  /**
   * Whether the turn goes on without it.
   */
  background: boolean;
  /**
   * What it does, in words; cut at 1,000 characters.
   */
  description: string;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * What kind of work it is.
   */
  kind: TaskKind;
  /**
   * How far it has come, where that is known. At most once a second.
   */
  progress?: TaskProgress;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Where it stands.
   */
  status: TaskStatus;
  /**
   * At the end: what came of it; cut at 8,000 characters.
   */
  summary?: string;
  /**
   * The task.
   */
  task_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * The call that began it.
   */
  tool_use_id?: string;
  type: 'task_update';
}
/**
 * `tool_result` event.
 */
export interface ServerToolResult {
  /**
   * The original blocks, where they are not only text.
   */
  blocks?: ContentBlock[];
  /**
   * The text; several text blocks are joined by newlines.
   */
  content: string;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Whether the tool failed or was denied.
   */
  is_error: boolean;
  /**
   * Set on results of a subagent's calls.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * The task that goes on in the background where the call left off.
   */
  task_id?: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * The call.
   */
  tool_use_id: string;
  /**
   * With `truncated`: bytes of the whole content, which `result_read` gives.
   */
  total_bytes?: number;
  /**
   * Whether `content` is only the beginning, cut at the connection's `max_content_bytes`; `blocks` are left out then.
   */
  truncated?: boolean;
  type: 'tool_result';
}
/**
 * `tool_use` event.
 */
export interface ServerToolUse {
  /**
   * The subagent that calls, where it is one.
   */
  agent?: Subagent;
  /**
   * Who runs it.
   */
  executor: Executor;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * Set on calls of a subagent.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  /**
   * Its input, an object.
   */
  tool_input: {
    [k: string]: unknown;
  };
  /**
   * The tool.
   */
  tool_name: string;
  /**
   * The call's id.
   */
  tool_use_id: string;
  type: 'tool_use';
}
/**
 * `user_message` event.
 */
export interface ServerUserMessage {
  /**
   * As the client sent it: a string or an array of content blocks.
   */
  content: Content;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * As the client sent it.
   */
  parent_tool_use_id?: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp: number;
  type: 'user_message';
}
/**
 * `warning` event or reply.
 */
export interface ServerWarning {
  /**
   * For programs.
   */
  code: WarningCode;
  /**
   * Opaque, unique within the session.
   */
  id: string;
  /**
   * For people.
   */
  message: string;
  /**
   * The client message that this answers or stems from.
   */
  request_id?: string;
  /**
   * Position in the session's log, strictly increasing within an epoch.
   */
  seq?: number;
  /**
   * The session; empty where none applies.
   */
  session_id: string;
  /**
   * Unix milliseconds.
   */
  timestamp?: number;
  type: 'warning';
}
