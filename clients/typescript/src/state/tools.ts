// Tool calls and the prompts before them: from the first delta to the result, or the end without one.

import { questionsOf } from '../conversation.js';
import type { ConversationState, Entry, Prompt, Tool } from '../conversation.js';
import type { PermissionRequest, PermissionResolved, ToolResult, ToolUse } from '../protocol.js';
import { emptyTool, updateAssistant, updateTool, withEntries, withoutOld, withTool } from './edit.js';

export function toolUse(state: ConversationState, message: ToolUse): ConversationState {
  const next = updateTool(withoutOld(state, message.tool_use_id), message.tool_use_id, (tool) => ({
    ...tool,
    name: message.tool_name,
    input: message.tool_input,
    executor: message.executor,
    parent: message.parent_tool_use_id,
    startedAt: tool.startedAt ?? message.timestamp,
    status: tool.status === 'streaming' ? 'running' : tool.status,
  }));
  return placed(next, message.tool_use_id, message.parent_tool_use_id, message.timestamp);
}

/** Shows a call in the newest message of its thread, where no delta has shown it before. */
function placed(state: ConversationState, toolUseId: string, parent: string | undefined, timestamp: number | undefined): ConversationState {
  return withEntries(state, parent, (entries) => {
    if (entries.some((entry) => shows(entry, toolUseId))) return entries;
    const last = entries.findLast((entry) => entry.kind === 'assistant');
    return updateAssistant(entries, last?.id ?? `tool-${toolUseId}`, (entry) => ({
      ...entry, parts: withTool(entry.parts, toolUseId),
    }), timestamp);
  });
}

function shows(entry: Entry, toolUseId: string): boolean {
  return entry.kind === 'assistant' && entry.parts.some((part) => part.kind === 'tool' && part.toolUseId === toolUseId);
}

/** Some agents say only with the result that a subagent made the call: it moves to where it belongs. */
function adopted(state: ConversationState, message: ToolResult): ConversationState {
  const { tool_use_id: id, parent_tool_use_id: parent } = message;
  if (parent === undefined || parent === id || state.tools[id]?.parent === parent) return state;
  const entries = state.entries.map((entry) => (entry.kind === 'assistant' && shows(entry, id)
    ? { ...entry, parts: entry.parts.filter((part) => part.kind !== 'tool' || part.toolUseId !== id) }
    : entry));
  return placed(updateTool({ ...state, entries }, id, (tool) => ({ ...tool, parent })), id, parent, message.timestamp);
}

export function toolResult(state: ConversationState, message: ToolResult): ConversationState {
  return updateTool(adopted(state, message), message.tool_use_id, (tool) => ({
    ...tool,
    taskId: message.task_id ?? tool.taskId,
    status: !message.is_error ? 'done' : tool.permission?.decision === 'deny' ? 'denied' : 'failed',
    result: {
      content: message.content, isError: message.is_error, blocks: message.blocks, patch: message.patch, filePath: message.file_path,
      truncated: message.truncated && message.seq !== undefined && message.total_bytes !== undefined
        ? { seq: message.seq, totalBytes: message.total_bytes } : undefined,
    },
    endedAt: message.timestamp,
  }));
}

export function promptOf(request: PermissionRequest): Prompt {
  return { id: request.id, request, questions: questionsOf(request) };
}

export function waitingTool(tools: ConversationState['tools'], request: PermissionRequest): ConversationState['tools'] {
  const tool = tools[request.tool_use_id] ?? emptyTool(request.tool_use_id);
  if (tool.permission?.id === request.id) return tools;
  return {
    ...tools,
    [request.tool_use_id]: {
      ...tool,
      name: tool.name || request.tool_name,
      input: tool.input ?? request.tool_input,
      status: 'waiting',
      permission: { id: request.id, decision: undefined, by: undefined },
    },
  };
}

export function resolved(state: ConversationState, message: PermissionResolved): ConversationState {
  const prompts = state.prompts.filter((prompt) => prompt.id !== message.permission_id);
  const tool = Object.values(state.tools).find(({ permission }) => permission?.id === message.permission_id);
  if (!tool) return { ...state, prompts };
  const status = message.decision === 'deny' ? 'denied' : message.decision === 'cancelled' ? 'cancelled' : 'running';
  return updateTool({ ...state, prompts }, tool.id, (old) => ({
    ...old,
    status: old.result ? old.status : status,
    permission: { id: message.permission_id, decision: message.decision, by: message.reason },
  }));
}

/** For so long before an interrupt is told, a call that failed was stopped by it, milliseconds. */
const STOPPED_WITHIN_MS = 2_000;

/** The agent tells a call that a person stopped as failed, just before it says that it was interrupted. */
export function stopped(tools: ConversationState['tools'], at: number | undefined): ConversationState['tools'] {
  if (at === undefined) return tools;
  const ended = Object.values(tools).filter(({ status, endedAt }) =>
    status === 'failed' && endedAt !== undefined && endedAt >= at - STOPPED_WITHIN_MS);
  if (ended.length === 0) return tools;
  return { ...tools, ...Object.fromEntries(ended.map((tool) => [tool.id, { ...tool, status: 'cancelled' as const }])) };
}

/** Whether the call itself, or one whose subagent made it, is such a one. */
function stemsFrom(tools: ConversationState['tools'], tool: Tool, is: (id: string) => boolean): boolean {
  const seen = new Set<string>();
  for (let at: Tool | undefined = tool; at !== undefined && !seen.has(at.id); at = at.parent === undefined ? undefined : tools[at.parent]) {
    if (is(at.id)) return true;
    seen.add(at.id);
  }
  return false;
}

/**
 * A turn is over, or the task that call `within` began: what has no result by now gets none, but for what somebody is still
 * asked about, and what belongs to a task that goes on.
 */
export function settled(
  tools: ConversationState['tools'], asked: readonly PermissionRequest[], tasks: ConversationState['tasks'], within?: string,
): ConversationState['tools'] {
  const calls = new Set(Object.values(tasks).flatMap(({ status, toolUseId }) => (status === 'running' && toolUseId ? [toolUseId] : [])));
  const open = Object.values(tools).filter((tool) =>
    (tool.status === 'streaming' || tool.status === 'running' || tool.status === 'waiting')
    && !asked.some((request) => request.tool_use_id === tool.id)
    && !stemsFrom(tools, tool, (id) => calls.has(id))
    && (within === undefined || stemsFrom(tools, tool, (id) => id === within)));
  if (open.length === 0) return tools;
  return { ...tools, ...Object.fromEntries(open.map((tool) => [tool.id, { ...tool, status: 'cancelled' as const }])) };
}
