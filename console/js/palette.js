// Everything that can be done, and every session, by a few letters (Ctrl + K); and what the keys do.

import { ago, h } from './dom.js';
import { nameOf } from './sidebar.js';

/** Sessions that are offered at most; more letters find the others. */
const SESSIONS = 30;

export class Palette {
  #app;
  #commands;
  #input = h('input', {
    type: 'text', role: 'combobox', 'aria-label': 'Search commands and sessions', 'aria-expanded': 'true', 'aria-controls': 'palette-list',
    'aria-autocomplete': 'list', placeholder: 'Command or session …', autocomplete: 'off', spellcheck: 'false',
  });
  #list = h('ul', { id: 'palette-list', role: 'listbox', 'aria-label': 'Found' });
  #none = h('p', { class: 'hint', hidden: true }, 'Nothing of that name.');
  #found = [];
  #at = 0;

  /** `commands` gives what can be done now: `{ label, keys?, action }`. */
  constructor(app, commands) {
    this.#app = app;
    this.#commands = commands;
    this.node = h('dialog', { class: 'dialog palette', 'aria-label': 'Commands and sessions' }, this.#input, this.#list, this.#none);
    this.#input.addEventListener('input', () => this.#search());
    this.#input.addEventListener('keydown', (event) => this.#key(event));
    this.node.addEventListener('click', (event) => event.target === this.node && this.node.close());
  }

  show() {
    if (this.node.open) return this.node.close();
    if (document.querySelector('dialog[open]')) return undefined;
    this.#input.value = '';
    this.node.showModal();
    this.#search();
    void this.#app.refreshList();
    return undefined;
  }

  #items() {
    const sessions = this.#app.sessions.filter(({ session_id: id }) => id !== this.#app.session?.id).map((session) => ({
      label: nameOf(session), hint: `${session.cwd} · ${ago(session.last_active_at)}`, words: session.session_id,
      action: () => { location.hash = session.session_id; },
    }));
    return [...this.#commands(), ...sessions.slice(0, this.#input.value ? undefined : SESSIONS)];
  }

  #search() {
    const words = this.#input.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.#found = this.#items().filter(({ label, hint = '', words: more = '' }) => {
      const text = `${label} ${hint} ${more}`.toLowerCase();
      return words.every((word) => text.includes(word));
    }).slice(0, 2 * SESSIONS);
    this.#list.replaceChildren(...this.#found.map(({ label, hint, keys }, at) => h('li', {
      id: `palette-${at}`, role: 'option', onclick: () => this.#run(at), onpointermove: () => this.#mark(at),
    }, h('span', { class: 'palette-label' }, label), hint ? h('span', { class: 'palette-hint' }, hint) : undefined, keys ? h('kbd', {}, keys) : undefined)));
    this.#none.hidden = this.#found.length > 0;
    this.#mark(0);
  }

  #mark(at) {
    this.#at = at;
    for (const [index, node] of [...this.#list.children].entries()) node.setAttribute('aria-selected', String(index === at));
    this.#list.children[at]?.scrollIntoView({ block: 'nearest' });
    if (this.#list.children[at]) this.#input.setAttribute('aria-activedescendant', `palette-${at}`);
    else this.#input.removeAttribute('aria-activedescendant');
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps && this.#found.length > 0) {
      event.preventDefault();
      this.#mark((this.#at + steps[event.key] + this.#found.length) % this.#found.length);
    } else if (event.key === 'Enter' && !event.isComposing) {
      event.preventDefault();
      this.#run(this.#at);
    }
  }

  #run(at) {
    const chosen = this.#found[at];
    if (!chosen) return;
    this.node.close();
    chosen.action();
  }
}

const KEYS = [
  ['Enter', 'Send; queue while a turn runs'], ['Shift + Enter', 'New line'], ['↑ ↓', 'What you said before'], ['Esc', 'Stop the turn; close what is open'],
  ['Ctrl + B', 'Go on without the running tool'], ['Y / N', 'On an open prompt: allow, deny'], ['Ctrl + K', 'Commands and sessions'], ['? or Ctrl + /', 'These keys'],
];

/** What the keys do. */
export class KeyHelp {
  constructor() {
    this.node = h('dialog', { class: 'dialog', 'aria-label': 'Keys' },
      h('form', { method: 'dialog' }, h('h2', {}, 'Keys'),
        h('dl', { class: 'keys' }, KEYS.flatMap(([keys, what]) => [h('dt', {}, h('kbd', {}, keys)), h('dd', {}, what)])),
        h('div', { class: 'buttons' }, h('button', { class: 'primary' }, 'Close'))));
  }

  show() {
    if (!document.querySelector('dialog[open]')) this.node.showModal();
  }
}
