// Small changes of a conversation, each a new object that shares what did not change.

import type { AssistantEntry, ConversationState, Entry, Part, Tool, UserEntry } from '../conversation.js';
import type { ServerMessage } from '../protocol.js';

export function notice(
  state: ConversationState, level: 'info' | 'warning' | 'error',
  code: Extract<Entry, { kind: 'notice' }>['code'], message: string, source: ServerMessage,
): ConversationState {
  const id = `${source.id}:${source.seq ?? 'reply'}:${state.entries.length}`;
  return { ...state, entries: [...state.entries, { kind: 'notice', id, level, code, message, timestamp: source.timestamp }] };
}

export function updateTool(state: ConversationState, id: string, change: (tool: Tool) => Tool): ConversationState {
  return { ...state, tools: { ...state.tools, [id]: change(state.tools[id] ?? emptyTool(id)) } };
}

export function updateUser(state: ConversationState, id: string, change: Partial<UserEntry>): ConversationState {
  const at = state.entries.findIndex((entry) => entry.kind === 'user' && entry.id === id);
  if (at < 0) return state;
  const entries = state.entries.slice();
  entries[at] = { ...(entries[at] as UserEntry), ...change };
  return { ...state, entries };
}

/** Changes the entries at the top, or those of the subagent that `parent` started. */
export function withEntries(
  state: ConversationState, parent: string | undefined, change: (entries: readonly Entry[]) => readonly Entry[],
): ConversationState {
  if (parent === undefined) {
    const entries = change(state.entries);
    return entries === state.entries ? state : { ...state, entries };
  }
  return updateTool(state, parent, (tool) => ({ ...tool, entries: change(tool.entries) }));
}

export function emptyMessage(id: string, timestamp: number | undefined): AssistantEntry {
  return {
    kind: 'assistant', id, model: undefined, parts: [], streaming: true, stopReason: undefined, usage: undefined, timestamp,
  };
}

/** Changes the message `id`; makes it where a gap swallowed its start. */
export function updateAssistant(
  entries: readonly Entry[], id: string, change: (entry: AssistantEntry) => AssistantEntry, timestamp?: number,
): readonly Entry[] {
  for (let at = entries.length - 1; at >= 0; at -= 1) {
    const entry = entries[at]!;
    if (entry.kind !== 'assistant' || entry.id !== id) continue;
    const changed = change(entry);
    if (changed === entry) return entries;
    const copy = entries.slice();
    copy[at] = changed;
    return copy;
  }
  return [...entries, change(emptyMessage(id, timestamp))];
}

export function withTool(parts: readonly Part[], toolUseId: string): readonly Part[] {
  return parts.some((part) => part.kind === 'tool' && part.toolUseId === toolUseId)
    ? parts
    : [...parts, { kind: 'tool', toolUseId }];
}

export function emptyTool(id: string): Tool {
  return {
    id, name: '', executor: 'agent', status: 'streaming', input: undefined, partialInput: '', result: undefined,
    permission: undefined, parent: undefined, taskId: undefined, entries: [], startedAt: undefined, endedAt: undefined,
  };
}
