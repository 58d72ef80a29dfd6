// What is read: coloured code, wrapping, copying.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { fakeSession } from './fake.mjs';
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
afterEach(() => chat.close());

/** The page, after a turn in which this was said. */
async function said(text, more = []) {
  chat = await openPage(browser, 'about:blank', { permissions: ['clipboard-read', 'clipboard-write'] });
  await fakeSession(chat.page, [
    { type: 'user_message', content: 'a question', request_id: 'u1' },
    { type: 'assistant_message_start', model: 'm', request_id: 'u1', id: 'a1' },
    { type: 'assistant_message_delta', id: 'a1', delta: { delta_type: 'text', text }, request_id: 'u1' },
    { type: 'assistant_message_complete', id: 'a1', stop_reason: 'end_turn', request_id: 'u1' },
    ...more,
    { type: 'result', subtype: 'success', duration_ms: 5, duration_api_ms: 5, num_turns: 1, is_error: false, request_id: 'u1' },
    { type: 'status_update', status: 'idle' },
  ]);
  await chat.page.goto(`${front.url}#fake`);
  await chat.turnEnds(1);
}

const clipboard = () => chat.page.evaluate(() => navigator.clipboard.readText());

test('code is coloured in a language that is known, whatever stands in it', async () => {
  const rust = 'fn main() {\n    // <b>&amp;</b>\n    let x = "a<script>";\n}';
  await said(`\`\`\`rust\n${rust}\n\`\`\`\n\n\`\`\`html\n<p class="x">a</p><script>let y = 1;</script>\n\`\`\`\n\n\`\`\`nolanguage\nfn main\n\`\`\``);
  const block = chat.page.locator('.code').first();
  await block.locator('.hl-keyword', { hasText: 'fn' }).waitFor();
  await block.locator('.hl-comment').waitFor();
  assert.equal(await block.locator('code').textContent(), rust);
  await chat.page.locator('.code').nth(1).locator('.hl-language .hl-keyword', { hasText: 'let' }).waitFor();
  assert.equal(await chat.page.locator('.code').nth(2).locator('span[class^=hl]').count(), 0);
  assert.equal(await chat.page.locator('.entries script, .entries b').count(), 0);
  // Only what was needed has come.
  const loaded = await chat.page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name.split('/').at(-1)));
  assert.ok(loaded.includes('rust.js') && !loaded.includes('python.js'), loaded.join());
});

test('long lines wrap on request, here and after a reload', async () => {
  await said(`\`\`\`\n${'long '.repeat(200)}\n\`\`\``);
  const scrolls = () => chat.page.locator('.code pre').evaluate(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth);
  assert.equal(await scrolls(), true);
  await chat.button('Wrap').click();
  assert.equal(await scrolls(), false);
  await chat.page.reload();
  await chat.turnEnds(1);
  assert.equal(await scrolls(), false);
});

test('messages, code, commands and results can be copied', async () => {
  await said('Take **this**:\n\n```sh\nls -l\n```', [
    { type: 'tool_use', tool_use_id: 't1', tool_name: 'Bash', tool_input: { command: 'ls /srv' }, executor: 'agent', request_id: 'u1' },
    { type: 'tool_result', tool_use_id: 't1', content: 'shop\n', is_error: false, request_id: 'u1' },
  ]);
  await chat.page.locator('.user').getByRole('button', { name: 'Copy message' }).click();
  assert.equal(await clipboard(), 'a question');
  await chat.page.locator('.assistant > .under').getByRole('button', { name: 'Copy message' }).click();
  assert.equal(await clipboard(), 'Take **this**:\n\n```sh\nls -l\n```');
  await chat.button('Copy code').click();
  assert.equal(await clipboard(), 'ls -l');
  await chat.page.locator('.tool > summary').click();
  await chat.button('Copy command').click();
  assert.equal(await clipboard(), 'ls /srv');
  await chat.button('Copy result').click();
  assert.equal(await clipboard(), 'shop\n');
});

test('an edit shows what changed: lines, words, and the numbers of lines once they are known', async () => {
  const lines = Array.from({ length: 20 }, (_, at) => `line ${at + 1}`);
  const after = [...lines.slice(0, 9), 'line 10 is new', ...lines.slice(10)];
  const call = (id, more) => ({ type: 'tool_use', tool_use_id: id, tool_name: 'Edit', executor: 'agent', request_id: 'u1', ...more });
  const hunk = { old_start: 117, old_lines: 2, new_start: 117, new_lines: 3, lines: [' before', '-old', '+new', '+newer'] };
  await said('Edited.', [
    call('t1', { tool_input: { file_path: '/srv/a.txt', old_string: lines.join('\n'), new_string: after.join('\n') } }),
    call('t2', { tool_input: { file_path: '/srv/b.txt', old_string: 'old', new_string: 'new\nnewer' } }),
    {
      type: 'tool_result', tool_use_id: 't2', content: 'done', is_error: false, request_id: 'u1', file_path: '/srv/b.txt',
      patch: [hunk, { ...hunk, old_start: 130, new_start: 131 }],
    },
  ]);
  for (const tool of await chat.page.locator('.tool > summary').all()) await tool.click();
  const first = chat.page.locator('.tool').nth(0).locator('.diff');
  assert.deepEqual(await first.locator('.removed, .added').allTextContents(), ['− line 10\n', '+ line 10 is new\n']);
  assert.deepEqual(await first.locator('mark').allTextContents(), [' ', 'is', ' ', 'new']);
  assert.equal(await first.locator('.same').count(), 6);
  assert.deepEqual(await first.locator('.skipped').allTextContents(), ['⋯ 6 lines as before\n', '⋯ 7 lines as before\n']);
  const second = chat.page.locator('.tool').nth(1).locator('.diff');
  assert.equal((await second.textContent()).replaceAll('\n', '|'),
    '117 117   before|118     − old|    118 + new|    119 + newer|⋯ 11 lines as before|130 131   before|131     − old|    132 + new|    133 + newer|');
});

test('the list of what is to do is a list, and its card says how far it is', async () => {
  const todos = [['Read', 'completed'], ['Write', 'in_progress'], ['Test', 'pending']].map(([content, status]) => ({ content, status, activeForm: content }));
  const call = (id, tool_input) => ({ type: 'tool_use', tool_use_id: id, tool_name: 'TodoWrite', executor: 'agent', request_id: 'u1', tool_input });
  await said('On it.', [call('t1', { todos }), call('t2', { todos: 'of another form' })]);
  await chat.page.locator('.tool-about', { hasText: '1 of 3: Write' }).waitFor();
  for (const tool of await chat.page.locator('.tool > summary').all()) await tool.click();
  assert.deepEqual(await chat.page.locator('.todos li').allInnerTexts(), ['☑\nRead', '◐\nWrite', '☐\nTest']);
  await chat.page.locator('.tool').nth(1).getByText('of another form').last().waitFor();
});

test('the whole page is small', async () => {
  chat = await openPage(browser, 'about:blank');
  await chat.page.goto(front.url);
  await chat.page.locator('.banner').waitFor({ state: 'hidden' });
  const loaded = await chat.page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  const files = await Promise.all([front.url, ...loaded].map(async (file) => Buffer.from(await (await fetch(file)).arrayBuffer())));
  const sizes = files.map((file) => gzipSync(file).length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  // Everything that it begins with is asked for at once.
  const missing = await chat.page.evaluate(() => {
    const links = new Set([...document.querySelectorAll('link[rel=modulepreload], script[src]')].map(({ href, src }) => href ?? src));
    return performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.endsWith('.js') && !links.has(name));
  });
  assert.deepEqual(missing, []);
  assert.ok(sizes.length > 30 && total < 160_000, `${sizes.length} files, ${total} bytes compressed`);
});
