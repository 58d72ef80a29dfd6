import { App } from './app.js';
import { Composer } from './composer.js';
import { NewSessionDialog, TokenDialog } from './dialogs.js';
import { h, icon } from './dom.js';
import { Header } from './header.js';
import { KeyHelp, Palette } from './palette.js';
import { openPrompts, Prompts } from './prompts.js';
import { Sidebar } from './sidebar.js';
import { Tasks } from './tasks.js';
import { applyTheme } from './theme.js';
import { Timeline } from './timeline.js';

applyTheme();

const app = new App();
const tokenDialog = new TokenDialog(app);
const newSession = new NewSessionDialog(app, () => composer.focus());
const sidebar = new Sidebar(app, () => newSession.show());
const header = new Header(app, () => sidebar.toggle(), () => keys.show());
const timeline = new Timeline(app);
const prompts = new Prompts(app, () => composer.focus(), (text) => composer.write(text));
const tasks = new Tasks(app);
const composer = new Composer(app);
const keys = new KeyHelp();
const palette = new Palette(app, commands);

const banner = h('div', { class: 'banner', role: 'status', hidden: true });
const toasts = h('div', { class: 'toasts', role: 'alert', 'aria-live': 'assertive' });
const speaker = h('div', { class: 'sr-only', 'aria-live': 'polite' });
const welcome = h('section', { class: 'welcome' },
  h('div', { class: 'welcome-mark', 'aria-hidden': 'true' }, icon('chevron')),
  h('h1', {}, 'What shall we work on?'),
  h('p', {}, 'Start a Claude Code session on the gateway, or pick one from the list. It goes on when this page is closed.'),
  h('button', { type: 'button', class: 'primary', onclick: () => newSession.show() }, icon('plus'), 'New session'));

const dock = h('div', { class: 'dock' }, prompts.node, h('div', { class: 'column' }, tasks.node), composer.node);
const main = h('main', {}, header.node, banner, timeline.node, dock, welcome);
composer.acceptDrops(main);
document.body.append(sidebar.node, main, toasts, speaker, tokenDialog.node, newSession.node, palette.node, keys.node);

/** What can be done now, for the palette. */
function commands() {
  const { session, state } = app;
  const isOpen = session !== undefined && !state?.ended;
  return [
    { label: 'New session', action: () => newSession.show() },
    isOpen && state.running !== undefined && { label: 'Stop the turn', keys: 'Esc', action: () => app.run(() => session.interrupt()) },
    isOpen && { label: 'Write a message', action: () => composer.focus() },
    session && { label: 'Close this session (it goes on)', action: () => app.leave() },
    session && { label: 'Copy the session id', action: () => header.copyId() },
    isOpen && { label: 'End this session …', action: () => header.endSession() },
    { label: 'Dark or light', action: () => sidebar.switchTheme() },
    { label: 'Keys', keys: '?', action: () => keys.show() },
  ].filter(Boolean);
}

document.addEventListener('keydown', (event) => {
  const writes = event.target.matches?.('textarea, input, select');
  const ctrl = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
  if (ctrl && event.key === 'k') palette.show();
  else if (ctrl && event.key === '/' || event.key === '?' && !writes && !ctrl) keys.show();
  else return;
  event.preventDefault();
});

// ---- drawing ------------------------------------------------------------------------------------------------------

let scheduled = false;
app.addEventListener('change', () => {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
});

app.addEventListener('report', ({ detail }) => {
  const toast = h('div', { class: 'toast' }, detail,
    h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Dismiss', onclick: () => toast.remove() }, icon('close')));
  toasts.append(toast);
  setTimeout(() => toast.remove(), 8000);
});

let shown;
let spoken = '';
function draw() {
  const { session, state } = app;
  const other = session !== shown;
  shown = session;
  document.body.classList.toggle('has-session', Boolean(session));
  document.title = title(state);
  welcome.hidden = Boolean(session) || app.needsToken;
  timeline.node.hidden = !session;
  dock.hidden = !session;
  sidebar.update();
  header.update(state);
  // First what waits for an answer.
  prompts.update(state, other);
  timeline.update(state, other);
  tasks.update(state, other);
  composer.update(state);
  drawBanner();
  if (app.needsToken) tokenDialog.show();
  speak(state);
  if (other && session) composer.focus();
}

function title(state) {
  if (!state) return 'claude-ws';
  const mark = openPrompts(state).length > 0 ? '● ' : state.status !== 'idle' ? '… ' : '';
  return `${mark}${header.nameOf(state)} – claude-ws`;
}

/** How the connection stands, where it does not stand well. */
function drawBanner() {
  const { connection, state } = app;
  const retry = h('button', { type: 'button', class: 'link', onclick: () => app.client.connect() }, 'Try now');
  let parts;
  if (app.needsToken) parts = [];
  else if (connection.status === 'waiting') {
    parts = [`Connection lost. Next try in ${Math.max(1, Math.round(connection.retryInMs / 1000))} s.`, retry];
  } else if (connection.status === 'connecting') parts = [connection.attempt > 1 ? 'Reconnecting …' : 'Connecting …'];
  else if (connection.status === 'closed') parts = [connection.reason || 'The connection is closed.'];
  else if (state && state.lastSeq < state.replayUntil) parts = ['Catching up …'];
  else parts = [];
  banner.hidden = parts.length === 0;
  banner.dataset.status = connection.status;
  const text = parts.map((part) => (typeof part === 'string' ? part : part.textContent)).join(' ');
  if (banner.dataset.text === text) return;
  banner.dataset.text = text;
  banner.replaceChildren(...parts);
}

/** Tells screen readers what sighted people see happen. */
function speak(state) {
  if (!state) return;
  const last = state.entries.at(-1);
  let text = spoken;
  const open = openPrompts(state).length;
  if (open > 0) text = `${open === 1 ? 'A prompt waits' : `${open} prompts wait`} for your answer`;
  else if (state.status === 'thinking') text = 'Claude is thinking';
  else if (state.status === 'compacting') text = 'The conversation is being compacted';
  else if (state.status === 'executing_tool') text = 'A tool is running';
  else if (last?.kind === 'result') text = last.result.subtype === 'success' ? 'The turn is done' : `The turn ended: ${last.result.subtype}`;
  if (text !== spoken) speaker.textContent = text;
  spoken = text;
}

document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  if (sidebar.close()) return;
  if (app.state?.running !== undefined) void app.run(() => app.session.interrupt());
});

draw();
await app.open();
