// Nothing that keeps people with a screen reader, a keyboard, or weak eyes out: axe-core finds nothing serious.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, afterEach, before, test } from 'node:test';
import { fakeSession } from './fake.mjs';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

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
afterEach(() => chat.close());

/** What axe finds that is serious, one line each. */
async function serious(where) {
  await chat.page.evaluate(AXE);
  const { violations } = await chat.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${where}: ${id} at ${target.join(' ')}: ${failureSummary.replaceAll('\n', ' ')}`));
}

const CODE = '```rust\n// a comment\n#[derive(Debug)]\nfn main() -> Vec<u8> { let x: &str = "text"; println!("{}", 42 + x.len()); }\n```\n\n'
  + '```html\n<p class="x">a</p>\n```\n\n```diff\n-old\n+new\n```\n\n';
const TABLE = '| a | b |\n| --- | --: |\n| 1 | 2 |\n\n> quoted [link](https://example.org) `code`\n';
const EVENTS = [
  { type: 'user_message', content: 'a question', request_id: 'u1' },
  { type: 'assistant_message_start', model: 'm', request_id: 'u1', id: 'a1' },
  { type: 'assistant_message_delta', id: 'a1', delta: { delta_type: 'thinking', thinking: 'hm' }, request_id: 'u1' },
  { type: 'assistant_message_delta', id: 'a1', delta: { delta_type: 'text', text: CODE + TABLE }, request_id: 'u1' },
  { type: 'assistant_message_complete', id: 'a1', stop_reason: 'tool_use', request_id: 'u1' },
  { type: 'tool_use', tool_use_id: 't1', tool_name: 'Bash', tool_input: { command: 'npm run dev', dangerouslyDisableSandbox: true }, executor: 'agent', request_id: 'u1' },
  { type: 'tool_result', tool_use_id: 't1', content: 'no such script', is_error: true, request_id: 'u1' },
  { type: 'tool_use', tool_use_id: 't2', tool_name: 'Edit', tool_input: { file_path: '/a', old_string: 'one', new_string: 'two' }, executor: 'agent', request_id: 'u1' },
  { type: 'tool_result', tool_use_id: 't2', content: 'done', is_error: false, request_id: 'u1' },
  { type: 'warning', code: 'api_retry', message: 'Trying again', request_id: 'u1' },
  { type: 'result', subtype: 'error', error_code: 'api_error', error: 'It failed', duration_ms: 5, duration_api_ms: 5, num_turns: 1, is_error: true, request_id: 'u1' },
  { type: 'conversation_reset', reason: 'clear' },
  { type: 'task_update', task_id: 'k1', kind: 'shell', status: 'running', background: true, description: 'npm run dev', tool_use_id: 't1', progress: { tool_uses: 1, total_tokens: 5, duration_ms: 5_000 } },
  { type: 'user_message', content: 'go on', request_id: 'u2' },
  { type: 'user_message', content: 'and this waits', request_id: 'u3' },
  {
    type: 'permission_request', id: 'p1', tool_name: 'Bash', tool_input: { command: 'rm -r build' }, tool_use_id: 't3', request_id: 'u2',
    context: { description: 'Removes', risk_level: 'high', suggestions: [] },
  },
  {
    type: 'permission_request', id: 'p2', tool_name: 'AskUserQuestion', tool_use_id: 't4', request_id: 'u2',
    tool_input: { questions: [{ question: 'Which?', header: 'Pick', options: [{ label: 'One', description: 'the first' }, { label: 'Two' }], multiSelect: false }] },
    context: { description: '', risk_level: 'low', suggestions: [] },
  },
  { type: 'permission_request', id: 'p3', tool_name: 'ExitPlanMode', tool_use_id: 't5', tool_input: { plan: '# Plan\n\n1. one' }, request_id: 'u2', context: { description: '', risk_level: 'medium', suggestions: [] } },
  { type: 'status_update', status: 'waiting_permission', request_id: 'u2' },
];
const SESSIONS = Array.from({ length: 6 }, (_, at) => ({
  session_id: at === 0 ? 'fake' : `s${at}`, status: at === 1 ? 'ended' : 'active', state: at === 2 ? 'waiting_permission' : 'thinking', cwd: '/srv', metadata: {},
  created_at: 1, last_active_at: Date.now(), pending_permissions: at, num_turns: 1, total_cost_usd: 0.2, tasks: at,
}));

for (const [name, options] of Object.entries({
  'light': {}, 'dark': { colorScheme: 'dark' }, 'a phone': { viewport: { width: 390, height: 780 } }, 'a wide screen': { viewport: { width: 2560, height: 1300 }, colorScheme: 'dark' },
})) {
  test(`nothing serious: ${name}`, async () => {
    chat = await openPage(browser, 'about:blank', options);
    await fakeSession(chat.page, EVENTS, { sessions: SESSIONS });
    await chat.page.goto(front.url);
    await chat.page.locator('.sessions li').first().waitFor({ state: 'attached' });
    const found = await serious('welcome');
    const dialog = async (label, close = 'Escape') => {
      found.push(...await serious(label));
      await chat.page.keyboard.press(close);
    };
    await chat.page.getByRole('button', { name: 'New session' }).last().click();
    await chat.page.getByText('More', { exact: true }).last().click();
    await dialog('new session');
    await chat.page.keyboard.press('Control+k');
    await dialog('palette');
    await chat.page.keyboard.press('Control+/');
    await dialog('keys');
    await chat.page.evaluate(() => { location.hash = 'fake'; });
    await chat.prompt(2).waitFor();
    await chat.page.locator('.code .hl-keyword').first().waitFor({ state: 'attached' });
    await chat.page.evaluate(() => { for (const node of document.querySelectorAll('.tool, .thinking, .tasks, .cost, .more')) node.open = true; });
    found.push(...await serious('conversation'));
    await chat.page.evaluate(() => { for (const node of document.querySelectorAll('.cost, .more')) node.open = false; });
    await chat.prompt(0).getByRole('button', { name: /^Deny/ }).click();
    found.push(...await serious('prompt'));
    assert.equal(await chat.page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, 'it fits');
    assert.deepEqual([...new Set(found)], []);
  });
}
