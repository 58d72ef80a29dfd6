// What a conversation looks like to a user interface. Plain, immutable data: a changed part is a new object.

import type { ConnectionState } from './link.js';
import type {
  Content, ContentBlock, ConversationReset, ElicitationRequest, EndReason, ErrorCode, Executor, JsonObject, PatchHunk, PermissionRequest,
  Resolution, ResolvedBy, Replay,
  SessionConfig, SessionInfo, SessionStatus, TaskUpdate, TurnResult, Usage, WarningCode,
} from './protocol.js';

export interface ConversationState {
  readonly sessionId: string;
  readonly connection: ConnectionState;
  /** The newest `session_info`. */
  readonly info: SessionInfo | undefined;
  /** The configuration, as far as `session_info` and `config_updated` told it. */
  readonly config: SessionConfig;
  readonly epoch: string | undefined;
  /** The last event that went in. An event up to here is ignored: replays may overlap. */
  readonly lastSeq: number;
  /** The last event that the replay has to bring; `lastSeq` below it means that history is still coming in. */
  readonly replayUntil: number;
  /** How complete the history is: `gap` means that its beginning is missing. */
  readonly replay: Replay | undefined;
  readonly status: SessionStatus;
  readonly statusMessage: string | undefined;
  /** What was said at the top level, in the order of the turns. What subagents say is in `tools[…].entries`. */
  readonly entries: readonly Entry[];
  /** Every tool call, by its id. Where an id is used again, the newest call has it, and the ones before have keys made from it. */
  readonly tools: Readonly<Record<string, Tool>>;
  /** What the agent does beside turns, by the task's id: all that run, and the last ones that ended. */
  readonly tasks: Readonly<Record<string, Task>>;
  /** Prompts that wait for an answer, in order; questions to the user among them. */
  readonly prompts: readonly Prompt[];
  /** What MCP servers ask and nobody has answered, in order; `formOf` tells what a form wants. */
  readonly pendingElicitations: readonly ElicitationRequest[];
  /** User messages that wait: first those in the gateway's queue, then those on their way to it. */
  readonly waiting: readonly UserEntry[];
  /** The user message whose turn runs; `''` for a turn that has none, `undefined` when none runs. */
  readonly running: string | undefined;
  readonly totals: Totals;
  /** What the agent last said it has cost; it counts on through the turns of one process. */
  readonly agentCostUsd: number | undefined;
  readonly ended: EndReason | undefined;
}

export interface Totals {
  readonly turns: number;
  readonly costUsd: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
}

export type Entry = UserEntry | AssistantEntry | ResultEntry | ResetEntry | NoticeEntry;

export interface UserEntry {
  readonly kind: 'user';
  /** The client's id of the message. */
  readonly id: string;
  /** Empty where only the id is known (queued before this client attached without a replay). */
  readonly content: Content;
  /** `sending`: not yet accepted; `refused`: see `error`; `done`: its result has come. */
  readonly status: 'sending' | 'refused' | 'queued' | 'running' | 'done' | 'cancelled';
  readonly error: string | undefined;
  readonly timestamp: number | undefined;
}

export interface AssistantEntry {
  readonly kind: 'assistant';
  readonly id: string;
  readonly model: string | undefined;
  readonly parts: readonly Part[];
  readonly streaming: boolean;
  readonly stopReason: string | undefined;
  readonly usage: Usage | undefined;
  readonly timestamp: number | undefined;
}

export type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'thinking'; readonly text: string }
  | { readonly kind: 'tool'; readonly toolUseId: string };

/** The end of a turn. */
export interface ResultEntry {
  readonly kind: 'result';
  readonly id: string;
  readonly result: TurnResult;
  /** What this turn cost, US dollars; the result itself says what the agent's process cost so far. */
  readonly costUsd: number;
  /** Whether the turn's last message says the same as `result.error`: then it need not be shown twice. */
  readonly isSaid: boolean;
}

/** The conversation began anew: the model knows nothing of what stands above. */
export interface ResetEntry {
  readonly kind: 'reset';
  readonly id: string;
  readonly reason: ConversationReset['reason'];
  readonly timestamp: number | undefined;
}

/** Something that happened beside the conversation. */
export interface NoticeEntry {
  readonly kind: 'notice';
  readonly id: string;
  readonly level: 'info' | 'warning' | 'error';
  /** `agent_turn`: the agent goes on by itself; what made it is in `origin` of the turn's result. */
  readonly code: WarningCode | ErrorCode | 'interrupted' | 'session_ended' | 'agent_turn';
  readonly message: string;
  readonly timestamp: number | undefined;
}

export interface Tool {
  readonly id: string;
  readonly name: string;
  readonly executor: Executor;
  /** `streaming`: its input is still being written; `waiting`: a person is asked; `cancelled`: stopped, or its turn ended before it. */
  readonly status: 'streaming' | 'running' | 'waiting' | 'done' | 'failed' | 'denied' | 'cancelled';
  /** The input, once it is complete. */
  readonly input: JsonObject | undefined;
  /** The input so far, as JSON text; whole only when `input` is there. */
  readonly partialInput: string;
  readonly result: {
    readonly content: string; readonly isError: boolean; readonly blocks: readonly ContentBlock[] | undefined;
    /** What an edit changed in its file, where the agent tells. */
    readonly patch: readonly PatchHunk[] | undefined; readonly filePath: string | undefined;
    /** `content` is only the beginning, because of `maxContentBytes`: what `readResult` needs for the rest. */
    readonly truncated: { readonly seq: number; readonly totalBytes: number } | undefined;
  } | undefined;
  /** The prompt about it, where there was one. */
  readonly permission: { readonly id: string; readonly decision: Resolution | undefined; readonly by: ResolvedBy | undefined } | undefined;
  /** The tool call whose subagent made this one. */
  readonly parent: string | undefined;
  /** The task that this call began, where it is one that goes on beside the turn. */
  readonly taskId: string | undefined;
  /** What a subagent that this call started says. */
  readonly entries: readonly Entry[];
  readonly startedAt: number | undefined;
  readonly endedAt: number | undefined;
}

/** Work that the agent does beside turns. */
export interface Task {
  readonly id: string;
  readonly kind: TaskUpdate['kind'];
  readonly status: TaskUpdate['status'];
  /** Whether the turn goes on without it. */
  readonly background: boolean;
  readonly description: string;
  /** The tool call that began it. */
  readonly toolUseId: string | undefined;
  readonly agentType: string | undefined;
  readonly progress: {
    readonly toolUses: number; readonly totalTokens: number; readonly durationMs: number;
    readonly lastTool: string | undefined; readonly summary: string | undefined;
  } | undefined;
  /** What came of it, at its end. */
  readonly summary: string | undefined;
  readonly startedAt: number | undefined;
  readonly endedAt: number | undefined;
}

/** A question that `AskUserQuestion` puts to the user. */
export interface Question {
  readonly question: string;
  readonly header: string | undefined;
  readonly multiSelect: boolean;
  readonly options: readonly { readonly label: string; readonly description: string | undefined }[];
}

export interface Prompt {
  readonly id: string;
  readonly request: PermissionRequest;
  /** Set where the agent asks for answers rather than for leave. */
  readonly questions: readonly Question[] | undefined;
}

/** The questions of an `AskUserQuestion` prompt; `undefined` for any other, and for input of another form. */
export function questionsOf(request: PermissionRequest): Question[] | undefined {
  if (request.tool_name !== 'AskUserQuestion') return undefined;
  const list = request.tool_input['questions'];
  if (!Array.isArray(list)) return undefined;
  const questions = list.flatMap((item): Question[] => {
    if (!isObject(item) || typeof item['question'] !== 'string') return [];
    const options = Array.isArray(item['options']) ? item['options'] : [];
    return [{
      question: item['question'],
      header: textOf(item['header']),
      multiSelect: item['multiSelect'] === true,
      options: options.flatMap((option) => {
        if (typeof option === 'string') return [{ label: option, description: undefined }];
        if (!isObject(option) || typeof option['label'] !== 'string') return [];
        return [{ label: option['label'], description: textOf(option['description']) }];
      }),
    }];
  });
  return questions.length > 0 ? questions : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
