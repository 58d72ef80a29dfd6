// What the agent does beside turns: each task with how far it is, its output, and a way to stop it.

import { count, duration, h, icon, List, setText } from './dom.js';

const KINDS = { shell: 'Shell', agent: 'Subagent', schedule: 'Schedule', monitor: 'Monitor', other: 'Task' };

/** `3 tools · 12k tokens · 1 min 20 s · Bash`; empty where nothing is known. */
export function progressOf({ progress, kind }) {
  if (!progress) return '';
  const { toolUses, totalTokens, durationMs, lastTool } = progress;
  return [
    toolUses > 0 ? `${toolUses} ${toolUses === 1 ? 'tool' : 'tools'}` : undefined,
    totalTokens > 0 ? `${count(totalTokens)} tokens` : undefined,
    durationMs > 0 ? duration(durationMs) : undefined,
    kind === 'agent' ? lastTool : undefined,
  ].filter(Boolean).join(' · ');
}

/** Where a task stands, in a word or two. */
export function statusOf({ status, kind }) {
  if (status === 'running') return kind === 'schedule' ? 'Waits for its time' : 'In the background';
  return { completed: 'Done in the background', failed: 'Failed in the background', stopped: 'Stopped' }[status] ?? status;
}

/** The tasks that run, above the composer. */
export class Tasks {
  #app;
  #title = h('span', {});
  #items = h('ul', {});
  #list;
  #stopAll = h('button', { type: 'button', class: 'link', onclick: () => this.#stop(this.#running) }, 'Stop all');
  #running = [];

  constructor(app) {
    this.#app = app;
    this.#list = new List(this.#items, ({ id }) => id, () => new TaskRow(app, (task) => this.#stop([task])));
    this.node = h('details', { class: 'tasks', hidden: true },
      h('summary', {}, icon('chevron'), h('span', { class: 'dot' }), this.#title), this.#items, this.#stopAll);
  }

  update(state, isOther) {
    if (isOther) {
      this.#list.update([]);
      this.node.open = false;
    }
    // What a turn waits for is shown at its call.
    this.#running = Object.values(state?.tasks ?? {}).filter(({ status, background }) => status === 'running' && background);
    this.node.hidden = this.#running.length === 0;
    this.#list.update(this.#running);
    const [first] = this.#running;
    setText(this.#title, this.#running.length === 1 ? `In the background: ${first.description}` : `${this.#running.length} tasks in the background`);
    this.#stopAll.hidden = this.#running.length < 2;
  }

  #stop(tasks) {
    const { session } = this.#app;
    for (const { id } of tasks) {
      // One that has just ended by itself is not what anybody has to be told about.
      session.stopTask(id).catch((error) => error.code !== 'unknown_request' && this.#app.report(error));
    }
  }
}

class TaskRow {
  #task;
  #kind = h('span', { class: 'tag' });
  #what = h('span', { class: 'task-what' });
  #how = h('span', { class: 'task-how' });
  #output = h('pre', { class: 'source', tabindex: '0', hidden: true });
  #show;

  constructor(app, stop) {
    this.#show = h('button', { type: 'button', class: 'link', 'aria-expanded': 'false', onclick: () => this.#toggle(app) }, 'Output');
    this.node = h('li', { class: 'task' },
      h('div', { class: 'task-row' }, this.#kind, this.#what, this.#how, this.#show,
        h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Stop this task', title: 'Stop this task', onclick: () => stop(this.#task) }, icon('close'))),
      this.#output);
  }

  update(task) {
    this.#task = task;
    setText(this.#kind, task.agentType ?? KINDS[task.kind] ?? KINDS.other);
    setText(this.#what, task.description);
    this.#what.title = task.progress?.summary ?? task.description;
    setText(this.#how, progressOf(task));
    this.#show.hidden = task.kind === 'schedule';
  }

  async #toggle(app) {
    const show = this.#output.hidden;
    this.#show.setAttribute('aria-expanded', String(show));
    this.#output.hidden = !show;
    if (!show) return;
    setText(this.#output, '…');
    const told = await app.run(() => app.session.taskOutput(this.#task.id));
    setText(this.#output, told ? `${told.truncated ? '…' : ''}${told.output}` || '(nothing yet)' : '(not to be had)');
    this.#output.scrollTop = this.#output.scrollHeight;
  }
}
