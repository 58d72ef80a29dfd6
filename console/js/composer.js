// Where messages are written: text, pasted or dropped images, the queue, stop and resume.

import { h, icon, List, setText } from './dom.js';

const IMAGES = /^image\/(png|jpeg|gif|webp)$/;
const MAX_IMAGE_BYTES = 4 << 20;

/** Calls that may go on in the background. */
const ASIDE = new Set(['Bash', 'Agent', 'Task']);
const goesAside = ({ status, name, taskId }) => status === 'running' && ASIDE.has(name) && taskId === undefined;

export class Composer {
  #app;
  #images = [];
  #queue = h('ul', { class: 'queue', 'aria-label': 'Waiting messages' });
  #queueList;
  #previews = h('div', { class: 'previews' });
  #text = h('textarea', { rows: 1, 'data-yields': true, placeholder: 'Message Claude', 'aria-label': 'Message', enterkeyhint: 'send' });
  #hint = h('p', { class: 'composer-hint' });
  #send;
  #stop;
  #aside;
  #resume;

  constructor(app) {
    this.#app = app;
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
    const file = h('input', { type: 'file', accept: 'image/png,image/jpeg,image/gif,image/webp', multiple: true, hidden: true, onchange: () => { void this.#add(file.files); file.value = ''; } });
    const attach = h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Attach an image', title: 'Attach an image', onclick: () => file.click() }, icon('clip'));
    this.form = h('form', { class: 'composer', onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      this.#previews, h('div', { class: 'composer-row' }, attach, file, this.#text, this.#stop, this.#send));
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
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'b' || !event.ctrlKey || event.shiftKey || event.altKey || event.metaKey || this.#aside.hidden) return;
      event.preventDefault();
      void this.#sendAside();
    });
    this.#text.addEventListener('input', () => { this.#fit(); this.#drawSend(); });
    this.#text.addEventListener('paste', (event) => {
      const files = [...event.clipboardData.files].filter(({ type }) => IMAGES.test(type));
      if (files.length === 0) return;
      event.preventDefault();
      void this.#add(files);
    });
    this.form.addEventListener('dragover', (event) => event.preventDefault());
    this.form.addEventListener('drop', (event) => {
      event.preventDefault();
      void this.#add(event.dataTransfer.files);
    });
  }

  #submit() {
    const text = this.#text.value.trim();
    const { session } = this.#app;
    if (!session || session.state.ended || (!text && this.#images.length === 0)) return;
    const blocks = this.#images.map(({ type, data }) => ({ type: 'image', source: { type: 'base64', media_type: type, data } }));
    // A string that looks like blocks is sent as a block, so that it stays the text that was typed.
    const plain = blocks.length === 0 && !text.startsWith('[');
    const turn = session.send(plain ? text : [...blocks, ...(text ? [{ type: 'text', text }] : [])]);
    turn.accepted.catch(() => {}); // The reducer shows the refusal at the message.
    this.#text.value = '';
    this.#images = [];
    this.#previews.replaceChildren();
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

  async #add(files) {
    for (const file of files) {
      if (!IMAGES.test(file.type)) continue;
      if (file.size > MAX_IMAGE_BYTES) {
        this.#app.report(new Error(`${file.name} is larger than ${MAX_IMAGE_BYTES >> 20} MB`));
        continue;
      }
      const url = await new Promise((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.readAsDataURL(file);
      });
      const image = { type: file.type, data: url.slice(url.indexOf(',') + 1) };
      this.#images.push(image);
      const preview = h('button', {
        type: 'button', class: 'preview', 'aria-label': `Remove ${file.name}`, title: 'Remove',
        onclick: () => {
          this.#images = this.#images.filter((other) => other !== image);
          preview.remove();
          this.#drawSend();
        },
      }, h('img', { src: url, alt: file.name }), icon('close'));
      this.#previews.append(preview);
      this.#drawSend();
    }
  }

  #drawSend() {
    this.#send.disabled = this.#text.value.trim() === '' && this.#images.length === 0;
  }

  /** As tall as the text, up to a bound that the style sheet sets. */
  #fit() {
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}
