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

/** Ids of calls repeat: the call that has come to its end under this one makes way for another, and keeps its place under a new key. */
export function withoutOld(state: ConversationState, id: string): ConversationState {
  const old = state.tools[id];
  if (old === undefined || old.status === 'streaming' || old.status === 'running' || old.status === 'waiting') return state;
  let number = 1;
  while (state.tools[`${id}#${number}`] !== undefined) number += 1;
  const key = `${id}#${number}`;
  const moved = (entries: readonly Entry[]): readonly Entry[] => {
    const holds = (entry: Entry) => entry.kind === 'assistant' && entry.parts.some((part) => part.kind === 'tool' && part.toolUseId === id);
    if (!entries.some(holds)) return entries;
    return entries.map((entry) => (entry.kind === 'assistant' && holds(entry)
      ? { ...entry, parts: entry.parts.map((part) => (part.kind === 'tool' && part.toolUseId === id ? { ...part, toolUseId: key } : part)) }
      : entry));
  };
  const tools = Object.fromEntries(Object.entries(state.tools).flatMap(([name, tool]) => {
    if (name === id) return [[key, { ...old, id: key }]];
    const entries = moved(tool.entries);
    const parent = tool.parent === id ? key : tool.parent;
    return [[name, entries === tool.entries && parent === tool.parent ? tool : { ...tool, entries, parent }]];
  }));
  return { ...state, tools, entries: moved(state.entries) };
}

export function emptyTool(id: string): Tool {
  return {
    id, name: '', executor: 'agent', status: 'streaming', input: undefined, partialInput: '', result: undefined,
    permission: undefined, parent: undefined, taskId: undefined, entries: [], startedAt: undefined, endedAt: undefined,
  };
}
