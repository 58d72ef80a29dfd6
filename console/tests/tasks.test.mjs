// Work beside turns, a conversation that begins anew, and the states in which nothing is heard of the agent: told by a
// gateway of the test's own, since an agent does none of it on demand.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { fakeSession } from './fake.mjs';
import { openPage, serve, startBrowser, startGateway } from './support.mjs';

let gateway;
let browser;
let front;
const open = [];

before(async () => {
  [gateway, browser] = await Promise.all([startGateway(), startBrowser()]);
  front = process.env.CONSOLE_FROM_DISK ? await serve(gateway.address) : { url: gateway.url, close() {} };
});
after(async () => {
  await browser?.close();
  await front?.close();
  await gateway?.stop();
});
afterEach(async () => {
  for (const chat of open.splice(0)) await chat.close();
});

const task = (fields) => ({
  type: 'task_update', task_id: 'k1', kind: 'shell', status: 'running', background: true, description: 'npm run dev', tool_use_id: 't1', ...fields,
});
const TURN = [
  { type: 'user_message', content: 'start the server', request_id: 'u1' },
  { type: 'assistant_message_start', model: 'm', request_id: 'u1', id: 'a1' },
  { type: 'tool_use', tool_use_id: 't1', tool_name: 'Bash', tool_input: { command: 'npm run dev' }, executor: 'agent', request_id: 'u1' },
  task({}),
  { type: 'tool_result', tool_use_id: 't1', content: 'Running in the background', is_error: false, request_id: 'u1', task_id: 'k1' },
  { type: 'assistant_message_complete', id: 'a1', stop_reason: 'end_turn', request_id: 'u1' },
  { type: 'result', subtype: 'success', duration_ms: 5, duration_api_ms: 5, num_turns: 1, is_error: false, request_id: 'u1' },
  { type: 'status_update', status: 'idle' },
];

/** The page with a session of which this is known. */
async function shown(events, answers) {
  const chat = await openPage(browser, 'about:blank');
  open.push(chat);
  const fake = await fakeSession(chat.page, events, answers);
  await chat.page.goto(`${front.url}#fake`);
  await chat.message.waitFor();
  return Object.assign(chat, fake);
}

describe('tasks', () => {
  test('a running one is shown with its progress and output, and stopped', async () => {
    const chat = await shown(TURN, {
      task_output: () => ({ type: 'task_output', reply: true, task_id: 'k1', output: 'listening on 5173\n', total_bytes: 20_000, truncated: true }),
      task_stop: () => task({ status: 'stopped' }),
    });
    const panel = chat.page.locator('.tasks');
    await panel.getByText('In the background: npm run dev').click();
    await chat.page.locator('.tool .tool-status', { hasText: 'In the background' }).waitFor();
    chat.say(task({ progress: { tool_uses: 0, total_tokens: 0, duration_ms: 65_000 } }));
    await panel.getByText('1 min 5 s').waitFor();
    await panel.getByRole('button', { name: 'Output' }).click();
    await panel.getByText('…listening on 5173').waitFor();
    await chat.shot('tasks');
    await panel.getByRole('button', { name: 'Stop this task' }).click();
    await panel.waitFor({ state: 'hidden' });
    await chat.page.locator('.tool[data-task="stopped"] .tool-status', { hasText: 'Stopped' }).waitFor();
    assert.deepEqual(chat.asked.map(({ type, task_id: id }) => [type, id]), [['task_output', 'k1'], ['task_stop', 'k1']]);
  });

  test('several are counted and stopped together; one that ended meanwhile is no trouble', async () => {
    const chat = await shown([...TURN, task({ task_id: 'k2', kind: 'agent', agent_type: 'Explore', description: 'Look around', tool_use_id: 't2' })], {
      task_stop: ({ task_id: id }) => (id === 'k1' ? { type: 'error', code: 'unknown_request', message: 'not running' } : task({ task_id: id, status: 'stopped' })),
    });
    await chat.page.getByText('2 tasks in the background').click();
    chat.say(task({ task_id: 'k2', kind: 'agent', agent_type: 'Explore', description: 'Look around', tool_use_id: 't2', progress: { tool_uses: 3, total_tokens: 12_345, duration_ms: 2_000, last_tool: 'Grep' } }));
    await chat.page.getByText('3 tools · 12.3k tokens · 2.0 s · Grep').waitFor();
    await chat.button('Stop all').click();
    await chat.page.getByText('In the background: npm run dev').waitFor();
    chat.say(task({ status: 'completed' }));
    await chat.page.locator('.tasks').waitFor({ state: 'hidden' });
    assert.equal(await chat.page.locator('.toast').count(), 0);
  });

  test('a running tool is sent to the background, by button and by key', async () => {
    const chat = await shown(TURN.slice(0, 3).concat({ type: 'status_update', status: 'executing_tool', request_id: 'u1' }), { background: () => task({}) });
    await chat.button('Go on without the running tool').waitFor();
    await chat.message.press('Control+b');
    await chat.page.locator('.tasks').waitFor();
    assert.deepEqual(chat.asked.map(({ type }) => type), ['background']);
    await chat.button('Go on without the running tool').waitFor({ state: 'hidden' });
  });

  test('a turn that the agent began itself says why', async () => {
    const chat = await shown([...TURN, task({ status: 'completed' })]);
    chat.say({ type: 'status_update', status: 'thinking', origin: { kind: 'task', task_id: 'k1', tool_use_id: 't1' } });
    await chat.page.getByText('Claude goes on by itself: a task in the background has ended (npm run dev)').waitFor();
    await chat.page.locator('.tool[data-task="completed"] .tool-status', { hasText: 'Done in the background' }).waitFor();
  });
});

test('a conversation that begins anew has a mark', async () => {
  const chat = await shown([...TURN, { type: 'conversation_reset', reason: 'clear' }]);
  await chat.page.getByText('A new conversation: Claude knows nothing of what stands above').waitFor();
  chat.say({ type: 'conversation_reset', reason: 'rewind' });
  await chat.page.getByText('The conversation was taken back: Claude knows nothing').waitFor();
});

test('says that the conversation is being compacted, and what holds up the start', async () => {
  const chat = await shown(TURN);
  chat.say({ type: 'status_update', status: 'compacting' });
  await chat.page.locator('.pill', { hasText: 'Compacting' }).waitFor();
  await chat.page.locator('.busy').waitFor();
  chat.say({ type: 'status_update', status: 'starting', message: 'Waiting for the MCP server “files”' });
  await chat.page.locator('.pill', { hasText: 'Waiting for the MCP server “files”' }).waitFor();
  chat.say({ type: 'status_update', status: 'idle' });
  await chat.page.locator('.pill', { hasText: 'Ready' }).waitFor();
});
