// Open prompts: permissions and questions. They stand above the composer until somebody answers, here or elsewhere.

import { ElicitationCard } from './elicitations.js';
import { h, icon, List } from './dom.js';
import { reveal, visible, visibleJson } from './reveal.js';
import { inputNode, toolName } from './tool.js';

/** For so long after the page itself moved the focus, keys were meant for what had it before. */
const SETTLE_MS = 500;
/** A field in which no key was pressed for so long is not being written in. */
const PAUSE_MS = 1000;
/** A `y` that another key follows within this time begins a word. */
const WORD_MS = 300;

/** Edits of files are not asked about for the rest of the session. */
const ACCEPT_EDITS = [{ type: 'setMode', mode: 'acceptEdits', destination: 'session' }];

/** All that waits for an answer: prompts, questions, and what MCP servers ask. */
export function openPrompts(state) {
  return [...(state?.prompts ?? []), ...(state?.pendingElicitations ?? []).map((request) => ({ id: request.id, request }))];
}

export class Prompts {
  #app;
  #list;
  #onAllAnswered;
  #onWords;
  #count = 0;
  #movedAt = -Infinity;
  #typedAt = -Infinity;

  /** `onWords` gets what somebody begins to write while a card has the focus. */
  constructor(app, onAllAnswered, onWords) {
    this.#app = app;
    this.#onAllAnswered = onAllAnswered;
    this.#onWords = onWords;
    document.addEventListener('keydown', () => { this.#typedAt = performance.now(); }, { capture: true });
    this.node = h('section', { class: 'prompts', 'aria-label': 'Open prompts', hidden: true });
    // An id is unique within its session only.
    this.#list = new List(this.node, ({ id, request }) => `${request.session_id} ${id}`, (prompt) => {
      const { session } = this.#app;
      if (prompt.request.type === 'elicitation_request') return new ElicitationCard(prompt, { app, session, answering });
      return prompt.questions ? new QuestionCard(prompt, { app, session }) : new PermissionCard(prompt, { app, session, takes: (event) => this.#takes(event), onWords: this.#onWords });
    });
  }

  /** Shows the open prompts; `isOther`: of another session than the last time, so that no card may stay. */
  update(state, isOther = false) {
    if (isOther) {
      this.#list.update([]);
      this.#count = 0;
    }
    const prompts = openPrompts(state);
    const focused = document.activeElement;
    const had = this.node.contains(focused);
    // Nobody is thrown out of where they write: the next key would be taken for an answer.
    const writing = (focused?.matches('textarea, input, select') ?? false) && !this.#rests(focused);
    this.#list.update(prompts);
    this.node.hidden = prompts.length === 0;
    if (prompts.length > this.#count && !writing && !had) this.#focus();
    else if (had && !this.node.contains(document.activeElement)) {
      if (prompts.length === 0) this.#onAllAnswered();
      else if (!writing) this.#focus();
    }
    this.#count = prompts.length;
  }

  /** Whether a field gives the focus away: the composer, when nothing stands in it and nobody is about to write. */
  #rests(field) {
    return field.dataset.yields !== undefined && field.value === '' && performance.now() - this.#typedAt > PAUSE_MS;
  }

  #focus() {
    this.#movedAt = performance.now();
    this.node.firstChild.focus({ preventScroll: true });
  }

  /** Whether a key was pressed for the card that has the focus, once, by somebody who could see it. */
  #takes(event) {
    return !event.repeat && performance.now() - this.#movedAt >= SETTLE_MS;
  }
}

/** Does what a button says once; while it is under way the card takes no second answer. */
function answering(card, app, action) {
  card.setAttribute('aria-busy', 'true');
  card.inert = true;
  action().catch((error) => {
    card.removeAttribute('aria-busy');
    card.inert = false;
    // Answered elsewhere in the same moment: the event that closes the prompt is on its way.
    if (error.code !== 'unknown_request') app.report(error);
  });
}

class PermissionCard {
  #request;
  #pane = h('div', { class: 'prompt-pane', hidden: true });
  #opened;
  #key;

  constructor({ request }, { app, session, takes, onWords }) {
    this.#request = request;
    const { context, tool_name: name } = request;
    const answer = (action) => answering(this.node, app, action);
    const isPlan = name === 'ExitPlanMode';
    const allow = h('button', { type: 'button', class: 'primary', onclick: () => answer(() => session.allow(request.id)) },
      isPlan ? 'Go ahead' : 'Allow', h('kbd', {}, 'Y'));
    // As Claude Code offers it: the plan's edits are not asked about one by one.
    const withEdits = h('button', {
      type: 'button', onclick: () => answer(() => session.respond(request.id, 'allow', { updatedPermissions: ACCEPT_EDITS })),
    }, 'Go ahead, accept edits');
    const deny = h('button', { type: 'button', onclick: () => this.#toggle('deny', deny, () => this.#denyPane(answer, session, isPlan)) },
      isPlan ? 'Keep planning …' : 'Deny …', h('kbd', {}, 'N'));
    const always = h('button', { type: 'button', onclick: () => this.#toggle('always', always, () => this.#alwaysPane(answer, session)) }, 'Always …');
    const hasPlan = isPlan && typeof request.tool_input.plan === 'string';
    const edit = h('button', {
      type: 'button', onclick: () => this.#toggle('edit', edit, () => (hasPlan ? this.#planPane(answer, session) : this.#editPane(answer, session))),
    }, hasPlan ? 'Edit the plan …' : 'Edit …');
    this.node = h('article', { class: 'prompt', tabindex: '-1', 'data-risk': context.risk_level, 'aria-label': visible(`Allow ${toolName(name)}?`) },
      h('header', {}, icon('shield'),
        h('h2', {}, title(name)),
        context.risk_level === 'medium' ? undefined : h('span', { class: 'risk' }, context.risk_level === 'high' ? 'High risk' : 'Low risk')),
      request.agent ? h('p', { class: 'why' }, `A subagent asks (${request.agent.type}): ${request.agent.description}`) : undefined,
      saysMore(context.description, request.tool_input) ? h('p', { class: 'why' }, context.description) : undefined,
      h('div', { class: 'prompt-input' }, inputNode(name, request.tool_input, true)),
      context.blocked_path ? h('p', { class: 'why' }, 'It asks because of ', h('code', {}, context.blocked_path)) : undefined,
      context.reason ? h('p', { class: 'why' }, context.reason) : undefined,
      // The end of a plan is asked about every time: always is for what its suggestions say, where there are any.
      h('div', { class: 'buttons' }, allow, isPlan ? withEdits : undefined, deny,
        !isPlan || applied(context.suggestions).length > 0 ? always : undefined, edit),
      this.#pane);
    this.node.addEventListener('keydown', (event) => {
      if (event.target.matches('textarea, input, select') || event.ctrlKey || event.metaKey || event.altKey) return;
      const { key } = event;
      if (key.length !== 1 || key === ' ') return;
      event.preventDefault();
      const begun = this.#forget();
      if (begun === '' && (key === 'y' || key === 'n')) {
        if (takes(event)) this.#key = { key, timer: setTimeout(() => { this.#forget(); (key === 'y' ? allow : deny).click(); }, WORD_MS) };
      } else if (takes(event)) onWords(begun + key); // Who writes means to say something, not to answer with the first letter.
    });
    reveal(this.node);
  }

  update() {}

  /** The key that was about to count as an answer, which it no longer is. */
  #forget() {
    const { key = '', timer } = this.#key ?? {};
    clearTimeout(timer);
    this.#key = undefined;
    return key;
  }

  /** Opens what a button needs before it can act, or closes it. */
  #toggle(name, button, make) {
    for (const other of this.node.querySelectorAll('[aria-expanded]')) other.removeAttribute('aria-expanded');
    this.#opened = this.#opened === name ? undefined : name;
    this.#pane.hidden = !this.#opened;
    if (!this.#opened) return;
    button.setAttribute('aria-expanded', 'true');
    this.#pane.replaceChildren(...make());
    reveal(this.#pane);
    this.#pane.querySelector('textarea, input, button')?.focus();
  }

  #denyPane(answer, session, isPlan) {
    const reason = h('textarea', {
      rows: 2, 'aria-label': 'Reason',
      placeholder: isPlan ? 'What should the plan say? Claude reads this and goes on planning' : 'Why not? Claude reads this (optional)',
    });
    const stop = h('input', { type: 'checkbox' });
    const send = () => answer(() => session.respond(this.#request.id, 'deny', {
      ...(reason.value.trim() ? { explanation: reason.value.trim() } : {}), ...(stop.checked ? { interrupt: true } : {}),
    }));
    submitOnEnter(reason, send);
    return [reason, h('div', { class: 'buttons' },
      h('button', { type: 'button', class: isPlan ? 'primary' : 'danger', onclick: send }, isPlan ? 'Keep planning' : 'Deny'),
      h('label', { class: 'check' }, stop, 'and stop the turn'))];
  }

  #alwaysPane(answer, session) {
    const { tool_name: name, context: { suggestions } } = this.#request;
    const rules = applied(suggestions).map((update) => h('code', {}, describe(update)));
    return [
      h('p', {}, 'For the rest of this session, without asking:'),
      h('ul', {}, [...rules, ...(name === 'ExitPlanMode' ? [] : [`This very call of ${toolName(name)} again`])].map((rule) => h('li', {}, rule))),
      h('p', { class: 'hint' }, 'Nothing is written to a settings file; another session asks again.'),
      h('div', { class: 'buttons' }, h('button', {
        type: 'button', class: 'primary', onclick: () => answer(() => session.allowAlways(this.#request.id)),
      }, 'Always allow')),
    ];
  }

  /** The plan as text: what stands in it is what Claude follows. */
  #planPane(answer, session) {
    const before = this.#request.tool_input.plan;
    const text = h('textarea', { rows: Math.min(16, before.split('\n').length + 2), 'aria-label': 'The plan', value: before });
    const act = () => answer(() => (text.value === before
      ? session.allow(this.#request.id) : session.allow(this.#request.id, { ...this.#request.tool_input, plan: text.value })));
    return [text, h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'primary', onclick: act }, 'Go ahead with this plan'))];
  }

  #editPane(answer, session) {
    const before = visibleJson(JSON.stringify(this.#request.tool_input, null, 2));
    const text = h('textarea', {
      class: 'mono', rows: Math.min(12, before.split('\n').length + 1), 'aria-label': 'Input as JSON', spellcheck: 'false', value: before,
    });
    const problem = h('p', { class: 'problem', role: 'alert' });
    const button = h('button', { type: 'button', class: 'primary' }, 'Allow with this input');
    const read = () => {
      try {
        const value = JSON.parse(text.value);
        if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('The input has to be a JSON object.');
        problem.textContent = '';
        return value;
      } catch (error) {
        problem.textContent = error.message;
        return undefined;
      } finally {
        button.disabled = problem.textContent !== '';
      }
    };
    text.addEventListener('input', read);
    button.addEventListener('click', () => {
      const value = read();
      if (!value) return;
      // Only what was edited goes back: a number beyond a double's precision would not survive the way through this page.
      answer(() => (text.value === before ? session.allow(this.#request.id) : session.allow(this.#request.id, value)));
    });
    return [text, problem, h('div', { class: 'buttons' }, button)];
  }
}

/** Whether a description tells anything that the input below it does not. */
function saysMore(description, input) {
  return description && !Object.values(input).some((value) => typeof value === 'string' && value.includes(description));
}

function title(name) {
  return name === 'ExitPlanMode' ? 'Go ahead with this plan?' : `Allow ${toolName(name)}?`;
}

/** Rule 9 of the protocol: rules and directories; a change of mode only where nothing else is suggested. */
function applied(suggestions) {
  const usable = suggestions.filter(({ type }) => type === 'addRules' || type === 'addDirectories');
  return usable.length === 0 && suggestions.length === 1 ? suggestions : usable;
}

function describe(update) {
  switch (update.type) {
    case 'addRules':
      return (update.rules ?? []).map(({ toolName: tool, ruleContent: of }) => (of ? `${tool}(${of})` : `${tool}, whatever it does`)).join(', ');
    case 'addDirectories': return `Work in ${(update.directories ?? []).join(', ')}`;
    case 'setMode': return update.mode === 'acceptEdits' ? 'Edit files (mode “Accept edits”)' : `Mode “${update.mode}”`;
    default: return String(update.type);
  }
}

class QuestionCard {
  constructor({ request, questions }, { app, session }) {
    const fields = questions.map((question, at) => new QuestionField(question, `${request.id}-${at}`, () => check()));
    const send = h('button', { type: 'submit', class: 'primary', disabled: true }, questions.length > 1 ? 'Send answers' : 'Send answer');
    const check = () => { send.disabled = !fields.every((field) => field.answer.length > 0); };
    const answer = (action) => answering(this.node, app, action);
    this.node = h('form', {
      class: 'prompt question', tabindex: '-1', 'aria-label': 'Claude asks',
      onsubmit: (event) => {
        event.preventDefault();
        const answers = fields.map(({ question, answer: chosen }) => [question.question, chosen]);
        answer(() => session.answer(request, Object.fromEntries(answers)));
      },
    },
    h('header', {}, icon('ask'), h('h2', {}, 'Claude asks')),
    fields.map(({ node }) => node),
    h('div', { class: 'buttons' }, send,
      h('button', { type: 'button', onclick: () => answer(() => session.deny(request.id, 'The user did not want to answer.')) }, 'Do not answer')));
    reveal(this.node);
  }

  update() {}
}

/** One question: options to choose from, and always a free answer. */
class QuestionField {
  #inputs;
  #other;
  #otherChosen;

  constructor(question, name, onChange) {
    this.question = question;
    const type = question.multiSelect ? 'checkbox' : 'radio';
    this.#inputs = question.options.map(({ label }) => h('input', { type, name, value: label, onchange: onChange }));
    this.#otherChosen = h('input', { type, name, value: '', onchange: () => { this.#other.focus(); onChange(); } });
    this.#other = h('input', {
      type: 'text', class: 'other', placeholder: 'Something else …', 'aria-label': `Another answer to: ${question.question}`,
      oninput: () => { this.#otherChosen.checked = this.#other.value !== '' || type === 'radio'; onChange(); },
    });
    this.node = h('fieldset', {},
      h('legend', {}, question.header ? h('span', { class: 'tag' }, question.header) : undefined, question.question),
      question.options.map(({ label, description }, at) => h('label', { class: 'option' }, this.#inputs[at],
        h('span', {}, h('strong', {}, label), description ? h('small', {}, description) : undefined))),
      h('label', { class: 'option' }, this.#otherChosen, this.#other));
  }

  /** What is chosen: a label, or several. */
  get answer() {
    const chosen = this.#inputs.filter(({ checked }) => checked).map(({ value }) => value);
    const other = this.#other.value.trim();
    if (this.#otherChosen.checked && other) chosen.push(other);
    return this.question.multiSelect ? chosen : (chosen[0] ?? '');
  }
}

/** Enter acts, Shift+Enter makes a new line. */
function submitOnEnter(textarea, submit) {
  textarea.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
}

