// The messages of protocol version 1, both directions, as they are on the wire.
// Types only: nothing here exists at run time.

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A JSON object. */
export type JsonObject = { [key: string]: Json };

// ---- values -------------------------------------------------------------------------------------------------------

/** Who is asked before a tool runs. `bypass` needs a server with `--allow-bypass`. */
export type PermissionMode = 'manual' | 'auto' | 'plan' | 'bypass';
export type SessionStatus = 'idle' | 'thinking' | 'executing_tool' | 'waiting_permission';
export type Liveness = 'active' | 'dormant' | 'ended';
/** Verdict on a replay: `none` was asked for, `ok` all follow, `gap` the oldest are gone, `reset` another epoch. */
export type Replay = 'none' | 'ok' | 'gap' | 'reset';
export type AgentState = 'stopped' | 'waiting' | 'starting' | 'running';
export type Decision = 'allow' | 'deny' | 'allow_always';
export type Resolution = Decision | 'cancelled';
export type ResolvedBy = 'client' | 'interrupt' | 'session_ended' | 'timeout' | 'agent' | 'rule';
export type RiskLevel = 'low' | 'medium' | 'high';
export type Executor = 'agent' | 'client';
export type ResultSubtype = 'success' | 'error' | 'interrupted' | 'cancelled';
export type TurnErrorCode = 'max_turns' | 'max_budget' | 'api_error' | 'agent_exited' | 'agent_unavailable' | 'execution';
export type EndReason = 'client' | 'disconnected' | 'idle' | 'shutdown' | 'failed';
export type InterruptOutcome = 'interrupted' | 'agent_killed' | 'nothing_running';

export type ErrorCode =
  | 'invalid_json' | 'invalid_message' | 'unknown_type' | 'unsupported_frame' | 'unknown_session' | 'session_ended'
  | 'unknown_request' | 'forbidden' | 'invalid_cwd' | 'queue_full' | 'capacity' | 'rate_limited' | 'agent_unavailable'
  | 'agent_failed' | 'internal';
export type WarningCode =
  | 'api_retry' | 'rate_limit' | 'context_compacted' | 'permission_denied' | 'agent_restarted' | 'nothing_to_resume'
  | 'duplicate_message' | 'config_ignored' | 'agent_line_skipped' | 'gap' | 'store_unavailable' | 'agent_notice';

/** A content block of the Messages API: text, image, document … */
export type ContentBlock = { type: string; [key: string]: Json };
/** What a user message holds. */
export type Content = string | ContentBlock[];

/** Names with values: an object, or ACP's array. */
export type Pairs = Record<string, string> | { name: string; value: string }[];

/** An MCP server, in ACP's form; `type` absent means stdio. */
export interface McpServer {
  name: string;
  type?: 'stdio' | 'http' | 'sse';
  command?: string;
  args?: string[];
  env?: Pairs;
  url?: string;
  headers?: Pairs;
}

/** A tool that the front end runs. The model sees it as `mcp__client__NAME`. */
export interface ClientTool {
  /** 1–64 of `A-Z a-z 0-9 _ -`. */
  name: string;
  description: string;
  /** JSON Schema of the input; an object schema. */
  input_schema: JsonObject;
}

/** Options of a session; absent ones take the server's default. */
export interface SessionConfig {
  permission_mode?: PermissionMode;
  max_turns?: number;
  max_thinking_tokens?: number;
  metadata?: Record<string, string>;
  cwd?: string;
  model?: string;
  system_prompt?: string;
  append_system_prompt?: string;
  allowed_tools?: string[];
  disallowed_tools?: string[];
  mcp_servers?: McpServer[];
  add_dirs?: string[];
  client_tools?: ClientTool[];
  agent_events?: boolean;
}

/** What can be changed while a session runs. */
export type ConfigUpdateFields = Pick<SessionConfig, 'model' | 'permission_mode' | 'max_turns' | 'max_thinking_tokens'>;

export interface Rule {
  toolName: string;
  ruleContent?: string;
}

export type RuleUpdate =
  | { type: 'addRules' | 'replaceRules' | 'removeRules'; rules: Rule[]; behavior?: 'allow' | 'deny' | 'ask' }
  | { type: 'setMode'; mode: PermissionMode }
  | { type: 'addDirectories' | 'removeDirectories'; directories: string[] };

/** The Messages API's usage object, as far as it is commonly used. */
export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cache_read_input_tokens?: number;
  cache_creation_input_tokens?: number;
  [key: string]: unknown;
}

export interface PermissionContext {
  description: string;
  risk_level: RiskLevel;
  /** The agent's suggestions: a menu, not a bundle. */
  suggestions: JsonObject[];
  reason?: string;
  blocked_path?: string;
}

// ---- client → server ----------------------------------------------------------------------------------------------

/** A client message without its `id` and `session_id`. */
export type ClientPayload =
  | ({ type: 'session_start'; last_seq?: number; epoch?: string } & SessionConfig)
  | { type: 'new_session'; cwd: string; mcp_servers: McpServer[] }
  | { type: 'session_info' }
  | { type: 'session_list' }
  | { type: 'session_end'; reason?: string }
  | { type: 'user_message'; content: Content; parent_tool_use_id?: string }
  | {
      type: 'permission_response';
      request_id: string;
      decision: Decision;
      explanation?: string;
      updated_input?: JsonObject;
      updated_permissions?: JsonObject[];
      interrupt?: boolean;
    }
  | { type: 'permission_update'; updates: RuleUpdate[] }
  | { type: 'tool_result'; tool_use_id: string; content: Content | JsonObject; is_error?: boolean }
  | { type: 'interrupt'; reason?: string }
  | { type: 'resume' }
  | { type: 'cancel'; target_id: string }
  | { type: 'config_update'; config: ConfigUpdateFields }
  | { type: 'config_query' }
  | { type: 'heartbeat' };

/** A client message, whole. */
export type ClientMessage = ClientPayload & { id: string; session_id?: string };

// ---- server → client ----------------------------------------------------------------------------------------------

interface Common<T extends string> {
  type: T;
  id: string;
  session_id: string;
  /** The client message that this answers or stems from. */
  request_id?: string;
  /** On session events: the position in the session's log. */
  seq?: number;
  timestamp?: number;
}

export interface UserMessageEvent extends Common<'user_message'> {
  content: Content;
  parent_tool_use_id?: string;
}
export interface AssistantMessageStart extends Common<'assistant_message_start'> {
  model: string;
  parent_tool_use_id?: string;
}
export type Delta =
  | { delta_type: 'text'; text: string }
  | { delta_type: 'thinking'; thinking: string }
  | { delta_type: 'tool_use'; tool_use_id: string; tool_name: string; tool_input: JsonObject }
  | { delta_type: 'tool_input'; tool_use_id: string; tool_name: string; partial_json: string };
export interface AssistantMessageDelta extends Common<'assistant_message_delta'> {
  delta: Delta;
  parent_tool_use_id?: string;
}
export interface AssistantMessageComplete extends Common<'assistant_message_complete'> {
  stop_reason?: string;
  usage?: Usage;
  parent_tool_use_id?: string;
}
export interface ToolUse extends Common<'tool_use'> {
  tool_use_id: string;
  tool_name: string;
  tool_input: JsonObject;
  executor: Executor;
  parent_tool_use_id?: string;
}
export interface ToolResult extends Common<'tool_result'> {
  tool_use_id: string;
  content: string;
  is_error: boolean;
  /** The original blocks, where they are not only text. */
  blocks?: ContentBlock[];
  parent_tool_use_id?: string;
}
export interface PermissionRequest extends Common<'permission_request'> {
  tool_name: string;
  tool_input: JsonObject;
  tool_use_id: string;
  context: PermissionContext;
}
export interface PermissionResolved extends Common<'permission_resolved'> {
  permission_id: string;
  decision: Resolution;
  reason: ResolvedBy;
}
export interface StatusUpdate extends Common<'status_update'> {
  status: SessionStatus;
  message?: string;
}
export interface Interrupted extends Common<'interrupted'> {
  outcome: InterruptOutcome;
}
export interface Cancelled extends Common<'cancelled'> {
  target_id: string;
}
export interface ConfigUpdated extends Common<'config_updated'> {
  config: SessionConfig;
}
/** The one end of a turn. */
export interface TurnResult extends Common<'result'> {
  subtype: ResultSubtype;
  duration_ms: number;
  duration_api_ms: number;
  num_turns: number;
  is_error: boolean;
  error?: string;
  error_code?: TurnErrorCode;
  result?: string;
  total_cost_usd?: number;
  usage?: Usage;
  stop_reason?: string;
  permission_denials?: JsonObject[];
}
export interface Warning extends Common<'warning'> {
  code: WarningCode;
  message: string;
}
export interface ErrorMessage extends Common<'error'> {
  code: ErrorCode;
  message: string;
}
export interface SessionEnded extends Common<'session_ended'> {
  reason: EndReason;
}
export interface AgentEvent extends Common<'agent_event'> {
  event: JsonObject;
}
export interface AgentInfo {
  state: AgentState;
  version?: string;
  tools?: string[];
  mcp_servers?: Json[];
  slash_commands?: string[];
}
export interface ServerInfo {
  name: string;
  version: string;
  protocol: number;
  heartbeat_ms: number;
  max_message_bytes: number;
}
export interface SessionInfo extends Common<'session_info'> {
  status: Liveness;
  state: SessionStatus;
  /** Whether this very `session_start` made the session. */
  created: boolean;
  cwd: string;
  model?: string;
  permission_mode: PermissionMode;
  metadata: Record<string, string>;
  num_turns: number;
  total_cost_usd: number;
  created_at: number;
  epoch: string;
  first_seq: number;
  last_seq: number;
  replay: Replay;
  pending_permissions: PermissionRequest[];
  queued: string[];
  agent: AgentInfo;
  server: ServerInfo;
}
export interface SessionSummary {
  session_id: string;
  status: Liveness;
  state: SessionStatus;
  cwd: string;
  created_at: number;
  last_active_at: number;
  num_turns: number;
  total_cost_usd: number;
  metadata: Record<string, string>;
  pending_permissions: number;
}
export interface SessionList extends Common<'session_list'> {
  sessions: SessionSummary[];
}
export interface NewSession extends Common<'new_session'> {
  cwd: string;
  epoch: string;
  created_at: number;
  permission_mode: PermissionMode;
}
export interface ConfigResponse extends Common<'config_response'> {
  config: SessionConfig;
}
export type Heartbeat = Common<'heartbeat'>;

/** Everything the server can say. Ignore types you do not know: the protocol grows. */
export type ServerMessage =
  | UserMessageEvent | AssistantMessageStart | AssistantMessageDelta | AssistantMessageComplete | ToolUse | ToolResult
  | PermissionRequest | PermissionResolved | StatusUpdate | Interrupted | Cancelled | ConfigUpdated | TurnResult | Warning
  | ErrorMessage | SessionEnded | AgentEvent | SessionInfo | SessionList | NewSession | ConfigResponse | Heartbeat;

/** A server message that stands in a session's log. */
export type SessionEvent = ServerMessage & { seq: number };
