// Background tasks: work that the agent does beside turns.

import type { ConversationState, Task } from '../conversation.js';
import type { TaskUpdate } from '../protocol.js';
import { settled } from './tools.js';

/** Tasks that have ended and are still known; older ones are forgotten. */
const ENDED_KEPT = 100;

export function taskUpdate(state: ConversationState, message: TaskUpdate & { timestamp?: number }): ConversationState {
  const tasks = bounded({ ...state.tasks, [message.task_id]: taskOf(message, state.tasks[message.task_id], message.timestamp) });
  const next = attributed({ ...state, tasks }, message);
  if (message.status === 'running') return next;
  // What the task's subagent had begun ends with it.
  return { ...next, tools: settled(next.tools, next.prompts.map(({ request }) => request), tasks, message.tool_use_id) };
}

/** `session_info` says which ones run: those that it does not know have ended unseen. */
export function runningTasks(state: ConversationState, running: readonly TaskUpdate[]): ConversationState {
  const tasks: Record<string, Task> = {};
  for (const task of Object.values(state.tasks)) {
    const gone = task.status === 'running' && !running.some(({ task_id: id }) => id === task.id);
    tasks[task.id] = gone ? { ...task, status: 'stopped' } : task;
  }
  for (const update of running) tasks[update.task_id] = taskOf(update, state.tasks[update.task_id], undefined);
  return running.reduce(attributed, { ...state, tasks });
}

function taskOf(update: TaskUpdate, before: Task | undefined, timestamp: number | undefined): Task {
  const { progress } = update;
  return {
    id: update.task_id,
    kind: update.kind,
    status: update.status,
    background: update.background,
    description: update.description,
    toolUseId: update.tool_use_id ?? before?.toolUseId,
    agentType: update.agent_type ?? before?.agentType,
    progress: progress === undefined ? before?.progress : {
      toolUses: progress.tool_uses, totalTokens: progress.total_tokens, durationMs: progress.duration_ms,
      lastTool: progress.last_tool, summary: progress.summary,
    },
    summary: update.summary ?? before?.summary,
    startedAt: before?.startedAt ?? timestamp,
    endedAt: update.status === 'running' ? undefined : (timestamp ?? before?.endedAt),
  };
}

/** Says at the call that began the task which task that is. */
function attributed(state: ConversationState, { task_id: id, tool_use_id: toolUseId }: TaskUpdate): ConversationState {
  const tool = toolUseId === undefined ? undefined : state.tools[toolUseId];
  if (tool === undefined || tool.taskId === id) return state;
  return { ...state, tools: { ...state.tools, [tool.id]: { ...tool, taskId: id } } };
}

function bounded(tasks: Readonly<Record<string, Task>>): Readonly<Record<string, Task>> {
  const ended = Object.values(tasks).filter(({ status }) => status !== 'running');
  if (ended.length <= ENDED_KEPT) return tasks;
  const forgotten = new Set(ended.slice(0, ended.length - ENDED_KEPT).map(({ id }) => id));
  return Object.fromEntries(Object.entries(tasks).filter(([id]) => !forgotten.has(id)));
}
