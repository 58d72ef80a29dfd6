// A tool call as a card: what it is about to do, live while it is written; what came of it; what a subagent says inside.

import { imageNode } from './content.js';
import { copyButton } from './copy.js';
import { diffNode, patchNode } from './diff.js';
import { duration, h, icon, setText } from './dom.js';
import { highlight } from './highlight.js';
import { Markdown } from './markdown.js';
import { reveal, visible } from './reveal.js';
import { progressOf, statusOf } from './tasks.js';

const STATUS = {
  streaming: 'Writing', running: 'Running', waiting: 'Waits for you', done: 'Done', failed: 'Failed', denied: 'Denied',
  cancelled: 'Stopped',
};

const NAMES = { AskUserQuestion: 'Question', ExitPlanMode: 'Plan', Agent: 'Subagent', Task: 'Subagent', TodoWrite: 'To-do list' };

/** The name as people know it, without the prefix of the client's or a server's tools. */
export function toolName(name) {
  if (Object.hasOwn(NAMES, name)) return NAMES[name];
  const [, server, tool] = /^mcp__(.+?)__(.+)$/.exec(name) ?? [];
  return tool ? (server === 'client' ? tool : `${server}: ${tool}`) : name;
}

/** What a call is about, in a line. */
export function summary(name, input) {
  if (!input) return '';
  if (name === 'TodoWrite' && isTodoList(input)) {
    const { todos } = input;
    const now = todos.find(({ status }) => status === 'in_progress');
    return `${todos.filter(({ status }) => status === 'completed').length} of ${todos.length}${now ? `: ${now.content}` : ''}`;
  }
  const value = input.command ?? input.file_path ?? input.notebook_path ?? input.pattern ?? input.url ?? input.query ?? input.description
    ?? input.questions?.[0]?.question ?? input.prompt;
  if (typeof value === 'string') return value;
  const keys = Object.keys(input);
  return keys.length === 0 ? '' : keys.slice(0, 4).map((key) => `${key}: ${short(input[key])}`).join(', ');
}

function short(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/**
 * The tools whose input has a form of its own: what it cannot do without, what it shows besides where that is there (all of
 * it text), and how. By the exact name: another tool may give fields of the same name another meaning.
 */
const FORMS = {
  Bash: {
    needs: ['command'], also: ['description'],
    draw: ({ command, description }) => [
      description ? h('p', { class: 'lead', 'data-field': 'description' }, description) : undefined, copied('Copy command', source('command', command, 'command', 'bash'), command)],
  },
  Agent: { needs: ['prompt'], draw: ({ prompt }) => [source('prompt', prompt)] },
  Task: { needs: ['prompt'], draw: ({ prompt }) => [source('prompt', prompt)] },
  ExitPlanMode: { needs: ['plan'], draw: ({ plan }) => [planNode(plan)] },
  Edit: {
    needs: ['file_path', 'old_string', 'new_string'],
    // Whoever is asked sees every line of it.
    draw: ({ file_path: file, old_string: before, new_string: after }, asks) => [path(file),
      h('div', { 'data-field': 'old_string' }, h('div', { 'data-field': 'new_string' }, diffNode(before, after, asks)))],
  },
  Write: { needs: ['file_path', 'content'], draw: ({ file_path: file, content }) => [path(file), source('content', content, '', ending(file))] },
  Read: { needs: ['file_path'], draw: ({ file_path: file }) => [path(file)] },
};

/** The input of a call in the form that shows best what it does; `asks`: for somebody who is asked, so nothing is left out. */
export function inputNode(name, input, asks = false) {
  if (name === 'TodoWrite' && !asks && isTodoList(input)) return reveal(todoNode(input.todos));
  const form = Object.hasOwn(FORMS, name) ? FORMS[name] : undefined;
  if (!form?.needs.every((key) => typeof input[key] === 'string')) {
    return reveal(h('div', {}, h('pre', { class: 'source', tabindex: '0' }, JSON.stringify(input, null, 2))));
  }
  const shown = [...form.needs, ...(form.also ?? []).filter((key) => typeof input[key] === 'string' && input[key] !== '')];
  const fields = Object.fromEntries(shown.map((key) => [key, input[key]]));
  const rest = Object.entries(input).filter(([key]) => !shown.includes(key));
  return reveal(h('div', {}, form.draw(fields, asks), rest.length > 0 ? h('dl', { class: 'fields' }, rest.flatMap(fieldNodes)) : undefined));
}

const TODO = { completed: ['☑', 'done'], in_progress: ['◐', 'under way'], pending: ['☐', 'to do'] };

function isTodoList({ todos, ...rest }) {
  return Array.isArray(todos) && Object.keys(rest).length === 0
    && todos.every((todo) => typeof todo?.content === 'string' && Object.hasOwn(TODO, todo.status));
}

/** The list that Claude keeps of what it has to do. */
function todoNode(todos) {
  return h('ul', { class: 'todos' }, todos.map(({ content, status }) => h('li', { 'data-status': status },
    h('span', { role: 'img', 'aria-label': TODO[status][1] }, TODO[status][0]), content)));
}

/** A field that the form has no place for. */
function fieldNodes([key, value]) {
  const alarming = key.startsWith('dangerously') && value !== false;
  return [
    h('dt', { class: alarming ? 'alarming' : undefined }, key),
    h('dd', { 'data-field': key, class: alarming ? 'alarming' : undefined }, JSON.stringify(value, null, 2)),
  ];
}

function source(key, text, kind = '', language = '') {
  const node = h('pre', { class: `source ${kind}`.trim(), tabindex: '0', 'data-field': key });
  // Colours that come later must not take away the marks of characters that are not shown.
  highlight(node, text, language, () => reveal(node));
  return node;
}

/** The text, and a button to copy it. */
function copied(label, node, text) {
  return h('div', { class: 'copied' }, node, copyButton(label, () => text));
}

const ending = (file) => /\.(\w+)$/.exec(file)?.[1] ?? file.split('/').at(-1);

function planNode(text) {
  const plan = new Markdown();
  plan.update(text);
  plan.node.dataset.field = 'plan';
  return plan.node;
}

function path(file) {
  return h('p', { class: 'lead mono', 'data-field': 'file_path' }, file || '""');
}

export class ToolCard {
  #tools;
  #tool;
  #task;
  #input;
  #touched = false;
  #name = h('span', { class: 'tool-name' });
  #about = h('span', { class: 'tool-about' });
  #status = h('span', { class: 'tool-status' });
  #inputBox = h('div', { class: 'tool-input' });
  #resultBox = h('div', { class: 'tool-result' });
  #inner = h('div', { class: 'tool-inner' });
  #innerList;
  node = h('details', { class: 'tool' },
    h('summary', {}, icon('chevron'), h('span', { class: 'dot' }), this.#name, this.#about, this.#status),
    h('div', { class: 'tool-body' }, this.#inputBox, this.#inner, this.#resultBox));

  constructor(tools) {
    this.#tools = tools;
    this.#innerList = tools.entryList(this.#inner, tools);
    this.node.firstChild.addEventListener('click', () => { this.#touched = true; });
  }

  get live() {
    return true;
  }

  update({ part }) {
    const tool = this.#tools.now[part.toolUseId];
    if (!tool) return;
    // What is inside may have changed although this call did not.
    if (tool.entries.length > 0) this.#innerList.update(tool.entries);
    const task = this.#tools.tasks[tool.taskId];
    if (tool === this.#tool && task === this.#task) return;
    this.#tool = tool;
    this.#task = task;
    const { name, status, input, partialInput, executor } = tool;
    this.node.dataset.status = status;
    setText(this.#name, visible(toolName(name)));
    setText(this.#about, visible(input ? summary(name, input) : partialInput.slice(-120)));
    const took = tool.startedAt && tool.endedAt ? ` · ${duration(tool.endedAt - tool.startedAt)}` : '';
    const where = executor === 'client' ? 'in this browser · ' : '';
    // A call that goes on in the background has its result at once: what counts is how the task stands.
    const beside = task?.background ? [statusOf(task), progressOf(task)].filter(Boolean).join(' · ') : undefined;
    setText(this.#status, beside ?? `${where}${STATUS[status]}${took}`);
    this.node.dataset.task = beside ? task.status : '';
    this.#drawInput(tool);
    this.#drawResult(tool);
    this.#inner.hidden = tool.entries.length === 0;
    // Open while there is something to watch; the reader's own choice counts more.
    if (!this.#touched) this.node.open = status === 'streaming' || status === 'failed' || tool.entries.length > 0;
  }

  #drawInput({ name, input, partialInput, result }) {
    if (result?.patch?.length > 0) {
      // What was changed in the file, once that is known, rather than what was asked for.
      if (this.shownPatch === result.patch) return;
      this.shownPatch = result.patch;
      this.#inputBox.replaceChildren(reveal(h('div', {}, path(result.filePath ?? input?.file_path ?? ''), patchNode(result.patch))));
      return;
    }
    if (input) {
      if (this.#input === input) return;
      this.#input = input;
      this.#inputBox.replaceChildren(inputNode(name, input));
      return;
    }
    if (!this.partial) {
      this.partial = h('pre', { class: 'source partial', tabindex: '0' });
      this.#inputBox.replaceChildren(this.partial);
    }
    setText(this.partial, visible(partialInput));
    this.partial.scrollTop = this.partial.scrollHeight;
  }

  #drawResult({ result, status }) {
    this.#resultBox.hidden = !result;
    if (!result || (this.shownResult === result && this.shownStatus === status)) return;
    this.shownResult = result;
    this.shownStatus = status;
    const pictures = (result.blocks ?? []).map(imageNode).filter(Boolean);
    this.#resultBox.replaceChildren(
      h('p', { class: 'lead' }, result.isError ? { denied: 'Denied', cancelled: 'Stopped' }[status] ?? 'Error' : 'Result'),
      result.content || pictures.length === 0
        ? copied('Copy result', h('pre', { class: 'source', tabindex: '0' }, result.content || '(nothing)'), result.content) : '',
      ...pictures);
    this.#resultBox.classList.toggle('is-error', result.isError && status !== 'cancelled');
  }
}
