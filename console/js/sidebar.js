import { ago, h, icon, iconButton, List, money, setText } from './dom.js';
import { currentTheme, toggleTheme } from './theme.js';

const STATE = { idle: 'Idle', thinking: 'Thinking', executing_tool: 'Running a tool', waiting_permission: 'Waits for you', compacting: 'Compacting', starting: 'Starting' };

/** What a session is called: its title, else the folder that it works in. */
export function nameOf({ metadata, cwd, session_id: id }) {
  return metadata?.title || cwd?.split('/').filter(Boolean).at(-1) || id;
}

/** Fewer sessions than these need no search. */
const SEARCHED = 5;
/** A pause in typing after which the gateway is asked. */
const TYPED_MS = 250;

/** The list of sessions, those first in which something happened last. On a narrow screen it is a drawer. */
export class Sidebar {
  #app;
  #list;
  #empty = h('p', { class: 'sidebar-empty' }, 'No sessions yet.');
  #more = h('p', { class: 'sidebar-empty', hidden: true });
  #timer;
  #search = h('input', { type: 'search', class: 'sidebar-search', 'aria-label': 'Search sessions', placeholder: 'Search', hidden: true, autocomplete: 'off', spellcheck: 'false' });

  constructor(app, onNew) {
    this.#app = app;
    const items = h('ul', { class: 'sessions' });
    this.#list = new List(items, ({ session_id: id }) => id, () => this.#item());
    this.theme = iconButton('moon', 'Dark or light', () => this.switchTheme());
    this.node = h('nav', { class: 'sidebar', 'aria-label': 'Sessions' },
      h('div', { class: 'sidebar-head' },
        h('span', { class: 'brand' }, h('img', { src: 'favicon.svg', alt: '', width: 22, height: 22 }), 'claude-ws'),
        this.theme),
      h('button', { type: 'button', class: 'new-session', onclick: () => { this.close(); onNew(); } }, icon('plus'), 'New session'),
      h('h2', {}, 'Sessions'), this.#search, items, this.#more, this.#empty);
    this.#search.addEventListener('input', () => {
      this.update();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#app.search(this.#search.value.trim()), TYPED_MS);
    });
    this.shade = h('div', { class: 'shade', onclick: () => this.close() });
    document.body.append(this.shade);
    this.#drawTheme();
  }

  toggle() {
    document.body.classList.toggle('sidebar-open');
    if (document.body.classList.contains('sidebar-open')) this.node.querySelector('button.new-session').focus();
  }

  /** Whether there was anything to close. */
  close() {
    const open = document.body.classList.contains('sidebar-open');
    document.body.classList.remove('sidebar-open');
    return open;
  }

  update() {
    const { sessions } = this.#app;
    this.#search.hidden = sessions.length < SEARCHED && this.#search.value === '';
    const words = this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const here = sessions.filter((session) => {
      const text = `${nameOf(session)} ${session.cwd} ${session.session_id}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const { text: asked, sessions: others } = this.#app.found;
    const beyond = asked !== '' && asked === this.#search.value.trim() ? others : [];
    const found = [...new Map([...here, ...beyond].map((session) => [session.session_id, session])).values()];
    const more = this.#app.total - sessions.length;
    this.#more.hidden = more <= 0 || words.length > 0;
    setText(this.#more, `${more} older ${more === 1 ? 'one' : 'ones'}: search for ${more === 1 ? 'it' : 'them'}.`);
    this.#list.update(found.sort((one, other) => other.last_active_at - one.last_active_at));
    this.#empty.hidden = found.length > 0;
    setText(this.#empty, sessions.length > 0 ? 'No session matches.' : 'No sessions yet.');
  }

  #item() {
    const [name, meta] = [h('span', { class: 'session-name' }), h('span', { class: 'session-meta' })];
    const dot = h('span', { class: 'dot' });
    const badge = h('span', { class: 'badge' });
    let id;
    const button = h('button', {
      type: 'button',
      onclick: () => {
        this.close();
        location.hash = id;
      },
    }, dot, h('span', { class: 'session-text' }, name, meta), badge);
    const view = {
      node: h('li', {}, button),
      live: true, // Which one is shown, and how long ago it was, change without the item.
      update: (session) => {
        id = session.session_id;
        const { status, state, pending_permissions: prompts, tasks = 0 } = session;
        setText(name, nameOf(session));
        const what = status === 'active' ? STATE[state] : status === 'dormant' ? 'Asleep' : 'Ended';
        const cost = session.total_cost_usd > 0 ? ` · ${money(session.total_cost_usd)}` : '';
        const beside = tasks > 0 ? ` · ${tasks} ${tasks === 1 ? 'task' : 'tasks'}` : '';
        setText(meta, `${what}${beside} · ${ago(session.last_active_at)}${cost}`);
        dot.dataset.state = status === 'active' ? state : status;
        setText(badge, prompts > 0 ? String(prompts) : '');
        badge.hidden = !prompts;
        badge.title = `${prompts} open prompts`;
        button.title = `${session.cwd}\n${id}`;
        if (this.#app.session?.id === id) button.setAttribute('aria-current', 'true');
        else button.removeAttribute('aria-current');
      },
    };
    return view;
  }

  switchTheme() {
    toggleTheme();
    this.#drawTheme();
  }

  #drawTheme() {
    this.theme.replaceChildren(icon(currentTheme() === 'dark' ? 'sun' : 'moon'));
  }
}
