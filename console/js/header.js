import { count, h, iconButton, money, setText } from './dom.js';
import { askModel, confirmEnd } from './dialogs.js';
import { Menu } from './menu.js';
import { nameOf } from './sidebar.js';

const STATUS = { idle: 'Ready', thinking: 'Thinking', executing_tool: 'Running a tool', waiting_permission: 'Waits for you', compacting: 'Compacting', starting: 'Starting' };
const MODES = [
  ['manual', 'Ask first'], ['auto', 'Accept edits'], ['plan', 'Plan only'], ['bypass', 'Ask nothing'],
];
const MODELS = ['sonnet', 'opus', 'haiku'];

/** Name, status, model, mode and cost of the session that is shown. */
export class Header {
  #app;
  #name = h('h1', {});
  #where = h('span', { class: 'where' });
  #pill = h('span', { class: 'pill', role: 'status' });
  #model = h('select', { 'aria-label': 'Model', title: 'Model' });
  #mode = h('select', { 'aria-label': 'Permission mode', title: 'Permission mode' },
    MODES.map(([value, label]) => h('option', { value }, label)));
  #cost = h('summary', { title: 'Cost and usage' });
  #usage = h('dl', {});
  #menu;

  constructor(app, onMenu, onKeys) {
    this.#app = app;
    this.#model.addEventListener('change', () => this.#setModel());
    this.#mode.addEventListener('change', () => this.#update({ permission_mode: this.#mode.value }));
    this.#menu = new Menu('More', [
      { label: 'Copy session id', action: () => this.copyId() },
      { label: 'Keys', action: onKeys },
      { label: 'End session …', danger: true, action: () => this.endSession() },
    ]);
    this.controls = h('div', { class: 'controls' },
      this.#mode, this.#model, h('details', { class: 'cost' }, this.#cost, this.#usage), this.#menu.node,
      iconButton('close', 'Close (the session goes on)', () => app.leave()));
    this.node = h('header', { class: 'top' },
      iconButton('menu', 'Sessions', onMenu, { class: 'icon-button menu' }),
      h('div', { class: 'title' }, this.#name, this.#where), this.#pill, this.controls);
  }

  nameOf(state) {
    return nameOf({ metadata: state.config.metadata, cwd: state.config.cwd, session_id: state.sessionId });
  }

  update(state) {
    for (const node of [this.#pill, this.controls]) node.hidden = !state;
    setText(this.#name, state ? this.nameOf(state) : 'claude-ws');
    setText(this.#where, state?.config.cwd ?? '');
    if (!state) return;
    const waits = state.info?.agent.state === 'waiting' || state.info?.agent.state === 'starting';
    const text = state.ended ? 'Ended' : STATUS[state.status] ?? state.status;
    setText(this.#pill, state.statusMessage && state.status !== 'idle' ? state.statusMessage : text);
    this.#pill.dataset.state = state.ended ? 'ended' : state.status;
    this.#pill.title = waits ? 'The agent is being started' : '';
    this.#drawModels(state.config.model);
    if (document.activeElement !== this.#mode) this.#mode.value = state.config.permission_mode ?? 'manual';
    for (const control of [this.#mode, this.#model]) control.disabled = Boolean(state.ended);
    this.#drawUsage(state);
  }

  #drawModels(model) {
    if (document.activeElement === this.#model) return;
    const current = model ?? '';
    const names = [...new Set([...(current ? [current] : ['']), ...MODELS])];
    const key = names.join();
    if (this.#model.dataset.key !== key) {
      this.#model.dataset.key = key;
      this.#model.replaceChildren(
        ...names.map((value) => h('option', { value }, value || 'Default model')), h('option', { value: '…' }, 'Other …'));
    }
    this.#model.value = current;
  }

  #drawUsage({ totals, info }) {
    setText(this.#cost, money(totals.costUsd));
    const rows = [
      ['Turns', totals.turns], ['Cost', money(totals.costUsd)], ['Input tokens', count(totals.inputTokens)],
      ['Output tokens', count(totals.outputTokens)], ['From cache', count(totals.cacheReadTokens)],
      ['To cache', count(totals.cacheWriteTokens)], ['Claude Code', info?.agent.version ?? '–'],
      ['Gateway', info ? `${info.server.name} ${info.server.version}` : '–'],
    ];
    const text = JSON.stringify(rows);
    if (this.#usage.dataset.rows === text) return;
    this.#usage.dataset.rows = text;
    this.#usage.replaceChildren(...rows.flatMap(([label, value]) => [h('dt', {}, label), h('dd', {}, String(value))]));
  }

  copyId() {
    return this.#app.run(() => navigator.clipboard.writeText(this.#app.session.id));
  }

  async endSession() {
    const { session } = this.#app;
    if (!session.state.ended && await confirmEnd()) await this.#app.run(() => session.end());
  }

  async #setModel() {
    let model = this.#model.value;
    this.#model.blur();
    if (model === '…') model = await askModel();
    if (model) await this.#update({ model });
    this.update(this.#app.state);
  }

  async #update(config) {
    this.#mode.blur();
    await this.#app.run(() => this.#app.session.configUpdate(config));
    this.update(this.#app.state);
  }
}
