// Where messages are written: text and what goes with it, the queue, stop and resume.

import { ACCEPT, acceptDrops, Attachments } from './attachments.js';
import { h, icon, List, setText } from './dom.js';
import { History } from './history.js';

/** Calls that may go on in the background. */
const ASIDE = new Set(['Bash', 'Agent', 'Task']);
const goesAside = ({ status, name, taskId }) => status === 'running' && ASIDE.has(name) && taskId === undefined;

export class Composer {
  #app;
  #attachments;
  #history;
  #queue = h('ul', { class: 'queue', 'aria-label': 'Waiting messages' });
  #queueList;
  #text = h('textarea', { rows: 1, 'data-yields': true, placeholder: 'Message Claude', 'aria-label': 'Message', enterkeyhint: 'send' });
  #hint = h('p', { class: 'composer-hint' });
  #send;
  #stop;
  #aside;
  #resume;

  constructor(app) {
    this.#app = app;
    this.#attachments = new Attachments(app, () => this.#drawSend());
    this.#history = new History(() => this.#said());
    this.#queueList = new List(this.#queue, ({ id }) => id, (entry) => this.#queued(entry));
    this.#send = h('button', { type: 'submit', class: 'round primary', 'aria-label': 'Send', title: 'Send (Enter)' }, icon('send'));
    this.#stop = h('button', {
      type: 'button', class: 'round stop', 'aria-label': 'Stop', title: 'Stop (Esc)', hidden: true,
      onclick: () => app.run(() => app.session.interrupt()),
    }, icon('stop'));
    this.#aside = h('button', {
      type: 'button', class: 'link', hidden: true, title: 'The turn goes on without it (Ctrl + B)', onclick: () => this.#sendAside(),
    }, 'Go on without the running tool');
    this.#resume = h('button', { type: 'button', class: 'resume', hidden: true, onclick: () => this.#goOn() }, icon('resume'), 'Go on with it');
    const file = h('input', { type: 'file', accept: ACCEPT, multiple: true, hidden: true, 'aria-label': 'Files', onchange: () => { void this.#attachments.add([...file.files]); file.value = ''; } });
    const attach = h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Attach files', title: 'Attach images, PDFs or text files', onclick: () => file.click() }, icon('clip'));
    this.form = h('form', { class: 'composer', onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      this.#attachments.node, h('div', { class: 'composer-row' }, attach, file, this.#text, this.#stop, this.#send));
    this.node = h('div', { class: 'column' }, this.#resume, this.#queue, this.form, h('div', { class: 'composer-foot' }, this.#hint, this.#aside));
    this.#listen();
  }

  focus() {
    // On a touch screen this would bring up the keyboard.
    if (matchMedia('(pointer: fine)').matches) this.#text.focus();
  }

  /** Goes on with what somebody began to write elsewhere. */
  write(text) {
    this.#text.focus();
    this.#text.setRangeText(text, this.#text.selectionStart, this.#text.selectionEnd, 'end');
    this.#fit();
    this.#drawSend();
  }

  update(state) {
    if (!state) return;
    const running = state.running !== undefined && !state.ended;
    this.#queueList.update(state.waiting);
    this.#queue.hidden = state.waiting.length === 0;
    this.#stop.hidden = !running;
    this.#aside.hidden = !running || !Object.values(state.tools).some(goesAside);
    const last = state.entries.findLast(({ kind }) => kind === 'result');
    const broken = !running && !state.ended && (last?.result.subtype === 'interrupted' || last?.result.subtype === 'error');
    this.#resume.hidden = !broken || state.entries.at(-1)?.kind === 'user';
    this.#text.disabled = this.form.inert = Boolean(state.ended);
    this.#text.placeholder = state.ended ? 'This session has ended' : running ? 'Queue another message' : 'Message Claude';
    setText(this.#hint, running ? 'Enter queues it · Esc stops the turn' : 'Enter sends · Shift + Enter for a new line');
    this.#drawSend();
  }

  #listen() {
    this.#text.addEventListener('keydown', (event) => {
      this.#browse(event);
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'b' || !event.ctrlKey || event.shiftKey || event.altKey || event.metaKey || this.#aside.hidden) return;
      event.preventDefault();
      void this.#sendAside();
    });
    this.#text.addEventListener('input', () => { this.#history.close(); this.#fit(); this.#drawSend(); });
    this.#text.addEventListener('paste', (event) => {
      const files = [...event.clipboardData.files];
      // What is copied in a word processor comes as text and as a picture of it.
      if (files.length === 0 || event.clipboardData.types.includes('text/plain')) return;
      event.preventDefault();
      void this.#attachments.add(files);
    });
  }

  /** Files may be dropped anywhere on `area` while a session is shown. */
  acceptDrops(area) {
    acceptDrops(area, (files) => {
      if (this.#app.session && !this.form.inert) void this.#attachments.add([...files]);
    });
  }

  /** What the user has said in this session, oldest first; the same twice in a row counts once. */
  #said() {
    const { entries = [], waiting = [] } = this.#app.state ?? {};
    const texts = [...entries, ...waiting].flatMap(({ kind, content }) => (kind === 'user' && typeof content === 'string' ? [content] : []));
    return texts.filter((text, at) => text !== texts[at - 1]);
  }

  /** Up and down bring back what was said before, where they would not move the caret. */
  #browse(event) {
    const { value, selectionStart, selectionEnd } = this.#text;
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || selectionStart !== selectionEnd) return;
    const up = event.key === 'ArrowUp';
    if (!up && (event.key !== 'ArrowDown' || !this.#history.isOpen)) return;
    // At the edge of the text only; a text that was brought back is left at once.
    if (up ? value.slice(0, selectionStart).includes('\n') : value.slice(selectionStart).includes('\n')) return;
    if (up && !this.#history.isOpen && value !== '' && selectionStart > 0) return;
    const text = up ? this.#history.back(value) : this.#history.on();
    if (text === undefined) return;
    event.preventDefault();
    this.#text.value = text;
    // Upwards the caret stands in the first line, so that the next key goes on.
    const caret = up ? text.split('\n', 1)[0].length : text.length;
    this.#text.setSelectionRange(caret, caret);
    this.#fit();
    this.#drawSend();
  }

  #submit() {
    const text = this.#text.value.trim();
    const { session } = this.#app;
    if (!session || session.state.ended || (!text && this.#attachments.isEmpty)) return;
    const blocks = this.#attachments.take();
    // A string that looks like blocks is sent as a block, so that it stays the text that was typed.
    const plain = blocks.length === 0 && !text.startsWith('[');
    const turn = session.send(plain ? text : [...blocks, ...(text ? [{ type: 'text', text }] : [])]);
    turn.accepted.catch(() => {}); // The reducer shows the refusal at the message.
    this.#text.value = '';
    this.#history.close();
    this.#fit();
    this.#drawSend();
  }

  async #goOn() {
    await this.#app.run(() => this.#app.session.resume().accepted);
    this.focus();
  }

  async #sendAside() {
    const { session } = this.#app;
    await this.#app.run(() => session.background());
    this.focus();
  }

  #queued(entry) {
    const text = h('span', { class: 'queue-text' });
    const remove = h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Take it back', title: 'Take it back' }, icon('close'));
    remove.addEventListener('click', () => this.#app.run(() => this.#app.session.cancel(entry.id)));
    const mark = h('span', { class: 'tag' });
    return {
      node: h('li', {}, mark, text, remove),
      update: ({ content, status }) => {
        setText(mark, status === 'sending' ? 'Sending' : 'Queued');
        const words = typeof content === 'string' ? content : content.map((block) => block.text ?? `[${block.type}]`).join(' ');
        setText(text, words || 'A message of another client');
        remove.hidden = status === 'sending';
      },
    };
  }

  #drawSend() {
    this.#send.disabled = this.#text.value.trim() === '' && this.#attachments.isEmpty;
  }

  /** As tall as the text, up to a bound that the style sheet sets. */
  #fit() {
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}
