// Finding things: the list of sessions, the palette, the keys.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { fakeSession } from './fake.mjs';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

let gateway;
let browser;
let front;
let chat;

const session = (id, title, minutes, more = {}) => ({
  session_id: id, status: 'dormant', state: 'idle', cwd: `/srv/${id}`, metadata: { title }, created_at: 1,
  last_active_at: Date.now() - minutes * 60_000, pending_permissions: 0, num_turns: 1, total_cost_usd: 0, ...more,
});
const SESSIONS = [
  session('billing', 'Invoices', 50), session('shop', 'Stock keeping', 2, { status: 'active', tasks: 2 }), session('blog', 'Old posts', 500),
  session('infra', 'Backups', 9), session('docs', 'First guide', 30), session('fake', 'The one that is open', 1),
];

before(async () => {
  [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  front = process.env.CONSOLE_FROM_DISK ? await serve(gateway.address) : { url: gateway.url, close() {} };
});
after(async () => {
  await browser?.close();
  await front?.close();
  await gateway?.stop();
});
afterEach(() => chat.close());

async function visit(hash = '', list = undefined) {
  chat = await openPage(browser, 'about:blank', { permissions: ['clipboard-read', 'clipboard-write'] });
  await fakeSession(chat.page, [{ type: 'status_update', status: 'idle' }], { sessions: SESSIONS, list });
  await chat.page.goto(front.url + hash);
  await chat.page.locator('.sessions li').nth(5).waitFor();
}
const names = () => chat.page.locator('.session-name').allInnerTexts();

test('sessions stand in the order of what happened last, with their tasks, and are searched', async () => {
  await visit();
  assert.deepEqual(await names(), ['The one that is open', 'Stock keeping', 'Backups', 'First guide', 'Invoices', 'Old posts']);
  await chat.page.locator('.sessions').getByText('Idle · 2 tasks · 2 min').waitFor();
  const search = chat.page.getByLabel('Search sessions');
  await search.fill('srv B');
  assert.deepEqual(await names(), ['Backups', 'Invoices', 'Old posts']);
  await search.fill('srv invo');
  assert.deepEqual(await names(), ['Invoices']);
  await search.fill('nothing');
  await chat.page.getByText('No session matches.').waitFor();
});

test('of many sessions the newest are listed; the gateway is asked for the others', async () => {
  const old = session('old', 'Found by its first words', 90_000);
  const asked = [];
  await visit('', ({ search, limit }) => {
    asked.push([search, limit]);
    return search === undefined ? { total: 250 } : { sessions: search === 'first words' ? [old] : [], total: 1 };
  });
  await chat.page.getByText('244 older ones: search for them.').waitFor();
  await chat.page.getByLabel('Search sessions').fill('first words');
  await chat.page.locator('.sessions').getByText('Found by its first words').waitFor();
  assert.deepEqual(await names(), ['Found by its first words']);
  await chat.page.getByLabel('Search sessions').fill('');
  await chat.page.getByText('244 older ones').waitFor();
  assert.equal((await names()).length, 6);
  assert.ok(asked.every(([, limit]) => limit === 100) && asked.some(([search]) => search === 'first words'), JSON.stringify(asked));
});

test('the palette finds commands and sessions by a few letters', async () => {
  await visit('#fake');
  await chat.message.waitFor();
  await chat.message.press('Control+k');
  const options = chat.page.locator('.palette li');
  await options.first().waitFor();
  assert.equal(await options.filter({ hasText: 'The one that is open' }).count(), 0);
  await chat.page.keyboard.type('stock');
  assert.equal(await options.count(), 1);
  await chat.page.keyboard.press('Enter');
  await chat.page.waitForFunction(() => location.hash === '#shop');
  await chat.page.keyboard.press('Control+k');
  await chat.page.keyboard.type('or');
  await chat.page.keyboard.press('ArrowUp');
  await chat.page.keyboard.press('ArrowDown');
  assert.equal(await chat.page.locator('[role=option][aria-selected=true]').innerText(), await options.first().innerText());
  await chat.page.getByRole('combobox').fill('dark');
  const theme = () => chat.page.evaluate(() => document.documentElement.dataset.theme);
  const old = await theme();
  await chat.shot('palette');
  await chat.page.keyboard.press('Enter');
  assert.notEqual(await theme(), old);
  await chat.page.keyboard.press('Control+k');
  await chat.page.getByRole('combobox').fill('no such thing');
  await chat.page.getByText('Nothing of that name.').waitFor();
  await chat.page.keyboard.press('Escape');
  await chat.page.getByRole('dialog').waitFor({ state: 'hidden' });
});

test('the keys are told, but a question mark in a message is one', async () => {
  await visit('#fake');
  await chat.message.fill('');
  await chat.message.press('?');
  assert.equal(await chat.message.inputValue(), '?');
  await chat.message.press('Control+/');
  await chat.page.getByRole('dialog', { name: 'Keys' }).getByText('Go on without the running tool').waitFor();
  await chat.page.keyboard.press('Escape');
  await chat.page.locator('.scroller').focus();
  await chat.page.keyboard.press('?');
  await chat.page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await chat.page.getByRole('button', { name: 'Close', exact: true }).click();
});
