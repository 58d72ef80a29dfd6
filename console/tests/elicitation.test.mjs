// What MCP servers ask people: forms and pages. The cards stand alone in a real page, with a session that notes what it is told.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

let gateway;
let browser;
let front;
let chat;

before(async () => {
  [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  front = process.env.CONSOLE_FROM_DISK ? await serve(gateway.address) : { url: gateway.url, close() {} };
});
after(async () => {
  await browser?.close();
  await front?.close();
  await gateway?.stop();
});
beforeEach(async () => {
  chat = await openPage(browser, front.url);
  await chat.page.getByRole('heading', { name: 'What shall we work on?' }).waitFor();
  await chat.page.evaluate(async () => {
    const { Prompts } = await import(new URL('js/prompts.js', document.baseURI).href);
    const calls = [];
    const opened = [];
    const session = {
      respondElicitation(...args) {
        calls.push(args);
        return new Promise(() => {}); // The event that would close the card is not part of this.
      },
    };
    window.open = (...args) => { opened.push(args); };
    const prompts = new Prompts({ session, report() {} }, () => {});
    document.body.append(prompts.node);
    const show = (request) => prompts.update({
      prompts: [],
      pendingElicitations: [{ type: 'elicitation_request', id: 'e1', session_id: 's', server: 'shop', message: 'We need this:', ...request }],
    }, true);
    Object.assign(window, { calls, opened, show });
  });
});
afterEach(() => chat.close());

const show = (request) => chat.page.evaluate((given) => window.show(given), request);
const calls = () => chat.page.evaluate(() => window.calls);
const card = () => chat.page.locator('.prompt');

const FORM = {
  mode: 'form',
  title: 'Your order',
  schema: { type: 'object', required: ['name', 'fish'], properties: {
    name: { type: 'string', title: 'Name', description: 'Yours' },
    mail: { type: 'string', title: 'Mail', format: 'email' },
    age: { type: 'integer', title: 'Age', minimum: 1, maximum: 100, default: 42 },
    share: { type: 'number', title: 'Share' },
    ok: { type: 'boolean', title: 'Agreed' },
    pet: { type: 'string', title: 'Pet', enum: ['p1', 'p2'], enumNames: ['Cat', 'Dog'] },
    fish: { type: 'array', title: 'Fish', items: { anyOf: [{ const: 'f1', title: 'Tuna' }, { const: 'f2', title: 'Trout' }] } },
  } },
};

test('a form is filled in and sent, each field as what it is', async () => {
  await show(FORM);
  for (const text of ['Your order', 'shop', 'We need this:', 'Yours']) await card().getByText(text, { exact: true }).waitFor();
  await chat.button('Send').click();
  assert.deepEqual(await calls(), [], 'the name is required');
  await card().getByLabel('Name').fill('Ada');
  await card().getByLabel('Share').fill('0.5');
  await card().getByLabel('Agreed').check();
  await card().getByLabel('Pet').selectOption({ label: 'Dog' });
  await card().getByLabel('Trout').check();
  await chat.button('Send').click();
  assert.deepEqual(await calls(), [['e1', 'accept', { name: 'Ada', age: 42, share: 0.5, ok: true, pet: 'p2', fish: ['f2'] }]]);
});

test('it is declined or cancelled without being filled in', async () => {
  for (const [button, action] of [['Decline', 'decline'], ['Cancel', 'cancel']]) {
    await show(FORM);
    await chat.button(button).click();
    assert.deepEqual((await calls()).at(-1), ['e1', action, undefined]);
  }
});

test('a page is shown whole and opened by who accepts', async () => {
  const url = 'https://example.com/pay?x=1';
  await show({ mode: 'url', url });
  const link = card().getByRole('link', { name: url });
  assert.equal(await link.getAttribute('rel'), 'noopener noreferrer');
  await chat.button('Open the page').click();
  assert.deepEqual(await calls(), [['e1', 'accept', undefined]]);
  assert.deepEqual(await chat.page.evaluate(() => window.opened), [[url, '_blank', 'noopener,noreferrer']]);
});

test('an address that would run here cannot be opened', async () => {
  for (const url of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'no address']) {
    await show({ mode: 'url', url });
    await card().getByText(url, { exact: true }).waitFor();
    assert.equal(await card().getByRole('link').count(), 0);
    assert.ok(await chat.button('Open the page').isDisabled());
  }
});
