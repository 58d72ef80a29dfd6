// The messages of protocol version 1 under the names that this package uses. The types themselves are made from the
// gateway's JSON Schema: see schema.ts. Types only: nothing here exists at run time.

import type * as schema from './schema.js';

export type {
  AgentInfo, AgentRuleUpdate, AgentState, ClientTool, ConfigUpdateFields, Content, ContentBlock, Decision, Delta,
  ElicitationAction, ElicitationMode, EndReason, ErrorCode, Executor, InterruptOutcome, Liveness, Origin, Pairs, PermissionContext,
  PermissionMode, Replay, Resolution,
  ResolvedBy, ResultSubtype, RiskLevel, Rule, RuleUpdate, ServerInfo, SessionStatus, SessionSummary, ToolContent,
  TurnErrorCode, WarningCode,
} from './schema.js';

/** A JSON object. */
export type JsonObject = { [key: string]: unknown };

/** An MCP server, in ACP's form; `type` absent means stdio. */
export type McpServer = schema.McpServerInput;

/** Options of a session; absent ones take the server's default. */
export type SessionConfig = Omit<schema.ClientSessionStart, 'type' | 'id' | 'session_id' | 'config' | 'last_seq' | 'epoch' | 'max_content_bytes'>;

/** The configuration of a session, as the gateway shows it. */
export type CurrentConfig = schema.SessionConfig;

/** The Messages API's usage object, as far as it is commonly used. */
export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cache_read_input_tokens?: number;
  cache_creation_input_tokens?: number;
  [key: string]: unknown;
}

// ---- client → server ----------------------------------------------------------------------------------------------

type WithoutIds<T> = T extends unknown ? Omit<T, 'id' | 'session_id'> : never;
/** A client message without its `id` and `session_id`. */
export type ClientPayload = WithoutIds<schema.ClientMessage>;

/** A client message, whole. This client gives every message an id. */
export type ClientMessage = ClientPayload & { id: string; session_id?: string };

// ---- server → client ----------------------------------------------------------------------------------------------

/** What any server message may have. */
interface Common {
  /** The client message that this answers or stems from. */
  request_id?: string;
  /** On session events: the position in the session's log. */
  seq?: number;
  /** Unix milliseconds. */
  timestamp?: number;
}

export type UserMessageEvent = schema.ServerUserMessage & Common;
export type AssistantMessageStart = schema.ServerAssistantMessageStart & Common;
export type AssistantMessageDelta = schema.ServerAssistantMessageDelta & Common;
export type AssistantMessageComplete = schema.ServerAssistantMessageComplete & Common;
export type AssistantMessageRetracted = schema.ServerAssistantMessageRetracted & Common;
export type ToolUse = schema.ServerToolUse & Common;
export type ToolResult = schema.ServerToolResult & Common;
export type PermissionRequest = schema.ServerPermissionRequest & Common;
export type PermissionResolved = schema.ServerPermissionResolved & Common;
export type ElicitationRequest = schema.ServerElicitationRequest & Common;
export type ElicitationResolved = schema.ServerElicitationResolved & Common;
export type StatusUpdate = schema.ServerStatusUpdate & Common;
export type Interrupted = schema.ServerInterrupted & Common;
export type Cancelled = schema.ServerCancelled & Common;
export type ConfigUpdated = schema.ServerConfigUpdated & Common;
/** The one end of a turn. */
export type TurnResult = schema.ServerResult & Common;
export type Warning = schema.ServerWarning & Common;
export type ErrorMessage = schema.ServerError & Common;
export type SessionEnded = schema.ServerSessionEnded & Common;
export type AgentEvent = schema.ServerAgentEvent & Common;
export type SessionInfo = schema.ServerSessionInfo & Common;
export type SessionList = schema.ServerSessionList & Common;
export type NewSession = schema.ServerNewSession & Common;
export type ConfigResponse = schema.ServerConfigResponse & Common;
export type Heartbeat = schema.ServerHeartbeat & Common;

/** Work beside turns began, got on, or ended; also an entry of `session_info.tasks`. */
export type TaskUpdate = schema.TaskUpdate;
export type ConversationReset = schema.ServerConversationReset & Common;
/** A page of a tool's result. */
export type ResultPage = schema.ServerResultRead & Common;
export type TaskOutput = schema.ServerTaskOutput & Common;
/** Neighbouring changes of a file; each line begins with ` `, `-` or `+`. */
export interface PatchHunk { old_start: number; old_lines: number; new_start: number; new_lines: number; lines: string[] }
declare module './schema.js' {
  interface ServerToolResult { patch?: PatchHunk[]; file_path?: string }
}

/** Everything the server can say. Ignore types you do not know: the protocol grows. */
export type ServerMessage = schema.ServerMessage & Common;

/** A server message that stands in a session's log. */
export type SessionEvent = ServerMessage & { seq: number };
