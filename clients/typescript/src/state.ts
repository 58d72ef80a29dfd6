// From events to a conversation: a pure function, so that a user interface only renders.
//
// It is idempotent over replays (an event up to `lastSeq` changes nothing) and takes what a gap leaves: a delta without
// its start, a result without its call.

import type { ConversationState, Entry, Part, Totals, UserEntry } from './conversation.js';
import type { ConnectionState } from './link.js';
import type {
  AssistantMessageDelta, Cancelled, Content, Origin, ServerMessage, SessionInfo, TurnResult, Usage, UserMessageEvent,
} from './protocol.js';
import { emptyMessage, notice, updateAssistant, updateTool, updateUser, withEntries, withoutOld, withTool } from './state/edit.js';
import { retracted } from './state/retract.js';
import { runningTasks, taskUpdate } from './state/tasks.js';
import { promptOf, resolved, settled, stopped, toolResult, toolUse, waitingTool } from './state/tools.js';

export type * from './conversation.js';
export { questionsOf } from './conversation.js';

/** What the reducer takes: what the server says, and what happens on this side. */
export type Input =
  | ServerMessage
  | { type: '@connection'; connection: ConnectionState }
  /** A message was given to `send` and is on its way. */
  | { type: '@sent'; id: string; content: Content }
  | { type: '@refused'; id: string; error: string };

const NOTHING: Totals = {
  turns: 0, costUsd: 0, inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0,
};

/** A conversation of which nothing is known yet. */
export function initialState(sessionId: string, connection: ConnectionState = { status: 'idle' }): ConversationState {
  return {
    sessionId, connection, info: undefined, config: {}, epoch: undefined, lastSeq: 0, replayUntil: 0, replay: undefined,
    status: 'idle', statusMessage: undefined, entries: [], tools: {}, tasks: {}, prompts: [], pendingElicitations: [], waiting: [], running: undefined,
    totals: NOTHING, agentCostUsd: undefined, ended: undefined,
  };
}

/** The state after `input`. Messages of other sessions, unknown types and events seen before give the same object. */
export function reduce(state: ConversationState, input: Input): ConversationState {
  switch (input.type) {
    case '@connection':
      return { ...state, connection: input.connection };
    case '@sent':
      return sent(state, input.id, input.content);
    case '@refused':
      return leaveQueue(state, input.id, { status: 'refused', error: input.error });
  }
  if (input.session_id !== state.sessionId) return state;
  if (input.type === 'session_info') return attached(state, input);
  if (input.seq === undefined) return reply(state, input);
  if (input.seq <= state.lastSeq) return state;
  return { ...event(begun(state, input), input), lastSeq: input.seq };
}

// ---- replies ------------------------------------------------------------------------------------------------------

function reply(state: ConversationState, message: ServerMessage): ConversationState {
  // Refusals of single requests are for whoever made them; what is said to nobody in particular is shown.
  if (message.request_id !== undefined) return state;
  if (message.type === 'warning') return notice(state, 'warning', message.code, message.message, message);
  if (message.type === 'error') return notice(state, 'error', message.code, message.message, message);
  return state;
}

function attached(state: ConversationState, info: SessionInfo): ConversationState {
  const startsOver = (state.epoch !== undefined && state.epoch !== info.epoch) || info.replay === 'reset';
  let base = state;
  if (startsOver) base = { ...initialState(state.sessionId, state.connection), waiting: state.waiting.filter(isUnsent) };
  else if (info.replay === 'gap') base = torn(state, info);
  const known = {
    ...base,
    info,
    epoch: info.epoch,
    replayUntil: Math.max(base.replayUntil, info.last_seq),
    // Only an attach asks for a replay; later infos say `none` and mean nothing by it.
    replay: info.replay !== 'none' || base.info === undefined ? info.replay : base.replay,
    config: {
      ...base.config, permission_mode: info.permission_mode, cwd: info.cwd, metadata: info.metadata,
      ...(info.model === undefined ? {} : { model: info.model }),
    },
  };
  // A notice can be overtaken by events: then it knows less than they told.
  if (info.last_seq < base.lastSeq) return known;
  const prompts = info.pending_permissions.map((request) =>
    base.prompts.find((prompt) => prompt.id === request.id) ?? promptOf(request));
  const now = {
    ...known,
    prompts,
    // A gateway of before has none.
    pendingElicitations: (info.pending_elicitations as SessionInfo['pending_elicitations'] | undefined) ?? [],
    tools: prompts.reduce((tools, { request }) => waitingTool(tools, request), base.tools),
    totals: { ...base.totals, costUsd: info.total_cost_usd, turns: info.num_turns },
  };
  // With a replay, these follow from the events.
  if (info.replay !== 'none' && info.last_seq > base.lastSeq) return now;
  return queuedAndRunning(runningTasks(now, info.tasks ?? []), info);
}

function queuedAndRunning(now: ConversationState, info: SessionInfo): ConversationState {
  const queued = info.queued.map((id): UserEntry => now.waiting.find((entry) => entry.id === id)
    ?? { kind: 'user', id, content: '', status: 'queued', error: undefined, timestamp: undefined });
  return {
    ...now,
    status: info.state,
    running: info.state === 'idle' ? undefined : (now.running ?? ''),
    waiting: [...queued, ...now.waiting.filter((entry) => isUnsent(entry) && !info.queued.includes(entry.id))],
  };
}

/** Events are missing: what they would have finished is not open any more, as far as anybody can tell. */
function torn(state: ConversationState, info: SessionInfo): ConversationState {
  const whole = runningTasks(notice(state, 'warning', 'gap', 'A part of the conversation is no longer kept', info), info.tasks ?? []);
  return {
    ...whole,
    tools: settled(whole.tools, info.pending_permissions, whole.tasks),
    entries: whole.entries.map((entry) => (entry.kind === 'assistant' && entry.streaming ? { ...entry, streaming: false } : entry)),
    waiting: whole.waiting.filter((entry) => isUnsent(entry) || info.queued.includes(entry.id)),
    running: undefined,
  };
}

function isUnsent(entry: UserEntry): boolean {
  return entry.status === 'sending';
}

// ---- events -------------------------------------------------------------------------------------------------------

function event(state: ConversationState, message: ServerMessage): ConversationState {
  switch (message.type) {
    case 'user_message':
      return userMessage(state, message);
    case 'assistant_message_start':
      return withEntries(state, message.parent_tool_use_id, (entries) => [
        ...entries, { ...emptyMessage(message.id, message.timestamp), model: message.model },
      ]);
    case 'assistant_message_delta':
      return delta(state, message);
    case 'assistant_message_complete':
      return withEntries(state, message.parent_tool_use_id, (entries) =>
        updateAssistant(entries, message.id, (entry) => ({
          ...entry, streaming: false, stopReason: message.stop_reason, usage: message.usage,
        })));
    case 'assistant_message_retracted':
      return retracted(state, message);
    case 'tool_use':
      return toolUse(state, message);
    case 'tool_result':
      return toolResult(state, message);
    case 'permission_request':
      return {
        ...state,
        prompts: [...state.prompts.filter((prompt) => prompt.id !== message.id), promptOf(message)],
        tools: waitingTool(state.tools, message),
      };
    case 'permission_resolved':
      return resolved(state, message);
    case 'elicitation_request':
      return {
        ...state,
        pendingElicitations: [...state.pendingElicitations.filter(({ id }) => id !== message.id), message],
      };
    case 'elicitation_resolved':
      return { ...state, pendingElicitations: state.pendingElicitations.filter(({ id }) => id !== message.elicitation_id) };
    case 'status_update':
      return {
        ...state,
        status: message.status,
        statusMessage: message.message,
        running: message.status === 'idle' ? undefined : state.running,
      };
    case 'task_update':
      return taskUpdate(state, message);
    case 'conversation_reset':
      return { ...state, entries: [...state.entries, { kind: 'reset', id: message.id, reason: message.reason, timestamp: message.timestamp }] };
    case 'interrupted':
      return notice({ ...state, tools: stopped(state.tools, message.timestamp) }, 'info', 'interrupted',
        message.outcome === 'agent_killed' ? 'Interrupted; the agent had to be stopped' : 'Interrupted', message);
    case 'cancelled':
      return cancelled(state, message);
    case 'config_updated':
      return { ...state, config: message.config };
    case 'result':
      return result(state, message);
    case 'warning':
      return notice(state, 'warning', message.code, message.message, message);
    case 'error':
      return notice(state, 'error', message.code, message.message, message);
    case 'session_ended':
      return {
        ...notice(state, 'info', 'session_ended', 'The session has ended', message),
        ended: message.reason, prompts: [], pendingElicitations: [], waiting: [], running: undefined, status: 'idle', statusMessage: undefined,
      };
    default:
      return state; // `agent_event`, and whatever a newer server says.
  }
}

/** The first event of a turn shows that its message no longer waits. */
function begun(state: ConversationState, message: ServerMessage): ConversationState {
  const id = message.request_id;
  if (message.type === 'user_message' || message.type === 'cancelled' || message.type === 'result') return state;
  if (id !== undefined && state.waiting.some((entry) => entry.id === id && !isUnsent(entry))) return run(state, id);
  // A turn without a message of its own: a `resume`, or one that the agent began itself.
  const works = message.type === 'assistant_message_start' || (message.type === 'status_update' && message.status !== 'idle');
  if (!works || state.running !== undefined) return state;
  const now = { ...state, running: id ?? '' };
  return message.type === 'status_update' && message.origin !== undefined ? byItself(now, message, message.origin) : now;
}

const WHY = {
  task: 'a task in the background has ended', schedule: 'the time of a schedule has come', monitor: 'a monitor has seen something',
  other: 'nobody has said anything',
};

/** Says why the agent goes on by itself. */
function byItself(state: ConversationState, message: ServerMessage, { kind, task_id: id }: Origin): ConversationState {
  const task = id === undefined ? undefined : state.tasks[id];
  return notice(state, 'info', 'agent_turn',
    `Claude goes on by itself: ${WHY[kind] ?? WHY.other}${task ? ` (${task.description})` : ''}`, message);
}

function run(state: ConversationState, id: string): ConversationState {
  return { ...leaveQueue(state, id, { status: 'running' }), running: id };
}

/** Moves a waiting message into the conversation. */
function leaveQueue(state: ConversationState, id: string, change: Partial<UserEntry>): ConversationState {
  const entry = state.waiting.find((other) => other.id === id);
  if (!entry) return state;
  return {
    ...state,
    waiting: state.waiting.filter((other) => other !== entry),
    entries: [...state.entries, { ...entry, ...change }],
  };
}

function sent(state: ConversationState, id: string, content: Content): ConversationState {
  if ([...state.entries, ...state.waiting].some((entry) => entry.kind === 'user' && entry.id === id)) return state;
  const entry: UserEntry = { kind: 'user', id, content, status: 'sending', error: undefined, timestamp: undefined };
  return { ...state, waiting: [...state.waiting, entry] };
}

function userMessage(state: ConversationState, message: UserMessageEvent): ConversationState {
  const id = message.request_id ?? message.id;
  const entry: UserEntry = {
    kind: 'user', id, content: message.content, status: 'queued', error: undefined, timestamp: message.timestamp,
  };
  const others = state.waiting.filter((other) => other.id !== id);
  const queued = [...others.filter((other) => !isUnsent(other)), entry];
  const next = { ...state, waiting: [...queued, ...others.filter(isUnsent)] };
  return state.running === undefined && queued.length === 1 ? run(next, id) : next;
}

function cancelled(state: ConversationState, message: Cancelled): ConversationState {
  return leaveQueue(state, message.target_id, { status: 'cancelled' });
}

function result(state: ConversationState, message: TurnResult): ConversationState {
  const id = message.request_id;
  let next: ConversationState = {
    ...state, totals: added(state, message), agentCostUsd: message.total_cost_usd ?? state.agentCostUsd,
  };
  if (message.subtype === 'cancelled') {
    // A message that never ran leaves no end of a turn behind.
    return id === undefined ? next : updateUser(leaveQueue(next, id, {}), id, { status: 'cancelled' });
  }
  if (id !== undefined) next = updateUser(leaveQueue(next, id, {}), id, { status: 'done' });
  const tools = message.subtype === 'interrupted' ? stopped(next.tools, message.timestamp) : next.tools;
  next = {
    ...next,
    entries: [...next.entries, {
      kind: 'result', id: message.id, result: message, costUsd: costOf(state, message), isSaid: saysSo(next.entries, message.error),
    }],
    // In a replay this may be the end of an earlier turn than the one whose prompts `session_info` showed.
    tools: settled(tools, next.prompts.map(({ request }) => request), next.tasks),
    running: undefined,
  };
  const following = next.waiting.find((entry) => !isUnsent(entry));
  return following === undefined ? next : run(next, following.id);
}

/** Whether the turn's last message is the error: the agent says what the API said in a message of its own, too. */
function saysSo(entries: readonly Entry[], error: string | undefined): boolean {
  const last = entries.findLast(({ kind }) => kind !== 'notice');
  if (error === undefined || last?.kind !== 'assistant') return false;
  return last.parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('').trim() === error.trim();
}

/** What the turn cost: the agent counts on through its turns, and from zero where its process was replaced. */
function costOf(state: ConversationState, { total_cost_usd: cost }: TurnResult): number {
  if (cost === undefined) return 0;
  // In a replay from the beginning the first result is the first of the process; live, the session's total stands in.
  const before = state.agentCostUsd ?? (state.replay === 'none' ? state.totals.costUsd : 0);
  return cost >= before ? cost - before : cost;
}

function added(state: ConversationState, message: TurnResult): Totals {
  const { totals } = state;
  const usage = message.usage as Usage | undefined;
  // `session_info` has counted everything up to its `last_seq`.
  const counted = message.seq !== undefined && message.seq <= (state.info?.last_seq ?? 0);
  return {
    turns: totals.turns + (counted || message.subtype === 'cancelled' ? 0 : 1),
    costUsd: totals.costUsd + (counted ? 0 : costOf(state, message)),
    inputTokens: totals.inputTokens + (usage?.input_tokens ?? 0),
    outputTokens: totals.outputTokens + (usage?.output_tokens ?? 0),
    cacheReadTokens: totals.cacheReadTokens + (usage?.cache_read_input_tokens ?? 0),
    cacheWriteTokens: totals.cacheWriteTokens + (usage?.cache_creation_input_tokens ?? 0),
  };
}

// ---- assistant messages -------------------------------------------------------------------------------------------

function delta(state: ConversationState, message: AssistantMessageDelta): ConversationState {
  const piece = message.delta;
  let next = state;
  let change: (parts: readonly Part[]) => readonly Part[];
  switch (piece.delta_type) {
    case 'text':
      change = (parts) => appended(parts, 'text', piece.text);
      break;
    case 'thinking':
      change = (parts) => appended(parts, 'thinking', piece.thinking);
      break;
    case 'tool_use':
    case 'tool_input':
      next = updateTool(withoutOld(next, piece.tool_use_id), piece.tool_use_id, (tool) => ({
        ...tool,
        name: piece.tool_name,
        parent: message.parent_tool_use_id,
        startedAt: tool.startedAt ?? message.timestamp,
        ...(piece.delta_type === 'tool_use'
          ? { input: piece.tool_input }
          : { partialInput: tool.partialInput + piece.partial_json }),
      }));
      change = (parts) => withTool(parts, piece.tool_use_id);
      break;
    default:
      return state;
  }
  return withEntries(next, message.parent_tool_use_id, (entries) =>
    updateAssistant(entries, message.id, (entry) => {
      const parts = change(entry.parts);
      return parts === entry.parts ? entry : { ...entry, parts };
    }, message.timestamp));
}

function appended(parts: readonly Part[], kind: 'text' | 'thinking', text: string): readonly Part[] {
  const last = parts[parts.length - 1];
  if (last?.kind === kind) return [...parts.slice(0, -1), { kind, text: last.text + text }];
  return text === '' ? parts : [...parts, { kind, text }];
}
