import { describe, expect, it } from 'vitest';
import { initialState, questionsOf, reduce } from '../src/index.js';
import type { AssistantEntry, ConversationState, Input, PermissionRequest, ServerMessage, UserEntry } from '../src/index.js';

const SESSION = 's';
let seq = 0;

function event(type: string, fields: object = {}): ServerMessage {
  seq += 1;
  return { type, id: `m${seq}`, session_id: SESSION, seq, timestamp: seq, ...fields } as unknown as ServerMessage;
}

function play(events: Input[], from: ConversationState = initialState(SESSION)): ConversationState {
  return events.reduce(reduce, from);
}

function info(fields: object = {}): ServerMessage {
  return {
    type: 'session_info', id: 'i', session_id: SESSION, status: 'active', state: 'idle', created: false, cwd: '/w',
    permission_mode: 'manual', metadata: {}, num_turns: 0, total_cost_usd: 0, created_at: 1, epoch: 'e', first_seq: 1,
    last_seq: 0, replay: 'none', pending_permissions: [], queued: [], agent: { state: 'running' },
    server: { name: 'x', version: '0', protocol: 1, heartbeat_ms: 1, max_message_bytes: 1 }, ...fields,
  } as unknown as ServerMessage;
}

const text = (id: string, piece: string, more: object = {}) =>
  event('assistant_message_delta', { id, delta: { delta_type: 'text', text: piece }, ...more });
const assistant = (state: ConversationState, at = 0) =>
  state.entries.filter((entry): entry is AssistantEntry => entry.kind === 'assistant')[at]!;
const prompt = (fields: object = {}) => event('permission_request', {
  tool_name: 'Bash', tool_input: { command: 'x' }, tool_use_id: 't', ...fields,
  context: { description: '', risk_level: 'medium', suggestions: [] },
}) as PermissionRequest;

describe('messages', () => {
  it('joins deltas into parts, in order of kinds', () => {
    const state = play([
      event('assistant_message_start', { id: 'a', model: 'm' }),
      event('assistant_message_delta', { id: 'a', delta: { delta_type: 'thinking', thinking: 'hm' } }),
      text('a', 'one '), text('a', 'two'),
      event('assistant_message_complete', { id: 'a', stop_reason: 'end_turn' }),
    ]);
    expect(assistant(state)).toMatchObject({
      streaming: false, stopReason: 'end_turn', model: 'm',
      parts: [{ kind: 'thinking', text: 'hm' }, { kind: 'text', text: 'one two' }],
    });
  });

  const retracted = (id: string, kept: string, fields: object = {}) =>
    event('assistant_message_retracted', { message_id: id, kept, tool_use_ids: [], reason: 'retry', ...fields });
  const said = (state: ConversationState) =>
    state.entries.flatMap((entry) => (entry.kind === 'assistant' ? entry.parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])) : []));

  it('takes back what is retracted, and a message of which nothing stands', () => {
    const events = [
      event('assistant_message_start', { id: 'a', model: 'm' }), text('a', 'Hello, '),
      event('assistant_message_complete', { id: 'a', stop_reason: 'abandoned' }), retracted('a', ''),
      event('assistant_message_start', { id: 'b', model: 'm' }), text('b', 'Hello, world'), event('assistant_message_complete', { id: 'b' }),
    ];
    const state = play(events);
    expect(said(state)).toEqual(['Hello, world']);
    expect(state.entries).toHaveLength(1);
    for (const again of events) expect(reduce(state, again)).toBe(state);
  });

  it('keeps what stands: its beginning, or what is left of the middle, and thinking', () => {
    const thinking = (piece: string) => event('assistant_message_delta', { id: 'a', delta: { delta_type: 'thinking', thinking: piece } });
    const call = () => event('assistant_message_delta', { id: 'a', delta: { delta_type: 'tool_use', tool_use_id: 't', tool_name: 'B', tool_input: {} } });
    const parts = (kept: string, more: object = {}) => assistant(play([
      event('assistant_message_start', { id: 'a', model: 'm' }), thinking('hm'), text('a', 'one '), call(), text('a', 'two three'), retracted('a', kept, more),
    ])).parts;
    const tool = { kind: 'tool', toolUseId: 't' };
    expect(parts('one two', { kept_thinking: 'hm' })).toEqual([{ kind: 'thinking', text: 'hm' }, { kind: 'text', text: 'one ' }, tool, { kind: 'text', text: 'two' }]);
    expect(parts('one ')).toEqual([{ kind: 'text', text: 'one ' }, tool]);
    expect(parts('three')).toEqual([{ kind: 'text', text: 'three' }, tool]);
    expect(parts('', { tool_use_ids: ['t'], kept_thinking: 'hm' })).toEqual([{ kind: 'thinking', text: 'hm' }]);
  });

  it('takes calls away that will never come, and shows the one that does come with the id', () => {
    const piece = (id: string, json: string) => event('assistant_message_delta', {
      id, delta: { delta_type: 'tool_input', tool_use_id: 't', tool_name: 'Bash', partial_json: json },
    });
    const cut = play([event('assistant_message_start', { id: 'a', model: 'm' }), text('a', 'I call.'), piece('a', '{"comm')]);
    expect(cut.tools['t']?.status).toBe('streaming');
    const gone = play([retracted('a', 'I call.', { tool_use_ids: ['t'] })], cut);
    expect(gone.tools).toEqual({});
    expect(assistant(gone).parts).toEqual([{ kind: 'text', text: 'I call.' }]);
    const again = play([event('assistant_message_start', { id: 'b', model: 'm' }), piece('b', '{}')], gone);
    expect(again.tools['t']).toMatchObject({ partialInput: '{}', status: 'streaming' });
    expect(assistant(again, 1).parts).toEqual([{ kind: 'tool', toolUseId: 't' }]);
  });

  it('tells calls apart that share an id', () => {
    const round = (id: string, command: string) => [
      event('assistant_message_start', { id, model: 'm' }),
      event('assistant_message_delta', { id, delta: { delta_type: 'tool_input', tool_use_id: 't', tool_name: 'Bash', partial_json: '{' } }),
      event('assistant_message_delta', { id, delta: { delta_type: 'tool_use', tool_use_id: 't', tool_name: 'Bash', tool_input: { command } } }),
      event('tool_use', { tool_use_id: 't', tool_name: 'Bash', tool_input: { command }, executor: 'agent' }),
      event('tool_result', { tool_use_id: 't', content: command, is_error: false }),
    ];
    const state = play([...round('a', 'one'), ...round('b', 'two'), ...round('c', 'three')]);
    const shown = [0, 1, 2].map((at) => assistant(state, at).parts.map((part) => (part.kind === 'tool' ? state.tools[part.toolUseId]?.result?.content : '')));
    expect(shown).toEqual([['one'], ['two'], ['three']]);
    expect(state.tools['t']).toMatchObject({ input: { command: 'three' }, status: 'done' });
    // What is said later of a message does not touch the calls before.
    expect(play([retracted('c', '', { tool_use_ids: ['t'] })], state).tools['t']?.status).toBe('done');
  });

  it('is idempotent over replays: the same object for what was seen', () => {
    const events = [event('assistant_message_start', { id: 'a', model: 'm' }), text('a', 'x'), text('a', 'y')];
    const state = play(events);
    for (const again of events) expect(reduce(state, again)).toBe(state);
    expect(play(events, state)).toBe(state);
  });

  it('takes a delta whose start a gap swallowed', () => {
    expect(assistant(play([text('lost', 'rest')])).parts).toEqual([{ kind: 'text', text: 'rest' }]);
  });

  it('ignores other sessions, unknown types and unknown deltas', () => {
    const state = play([text('a', 'x')]);
    expect(reduce(state, { ...event('warning'), session_id: 'other' })).toBe(state);
    expect(play([event('from_the_future'), event('assistant_message_delta', { id: 'a', delta: { delta_type: 'video' } })], state).entries)
      .toEqual(state.entries);
  });

  it('never changes an earlier state', () => {
    const before = play([event('assistant_message_start', { id: 'a', model: 'm' }), text('a', 'x')]);
    const copy = structuredClone(before);
    play([text('a', 'y'), event('tool_use', { tool_use_id: 't', tool_name: 'T', tool_input: {}, executor: 'agent' })], before);
    expect(before).toEqual(copy);
  });

  it('nests what a subagent says under the tool call that started it', () => {
    const state = play([
      event('assistant_message_start', { id: 'a', model: 'm' }),
      event('tool_use', { tool_use_id: 'task', tool_name: 'Task', tool_input: {}, executor: 'agent' }),
      event('assistant_message_start', { id: 'sub', model: 'm', parent_tool_use_id: 'task' }),
      text('sub', 'inner', { parent_tool_use_id: 'task' }), text('a', 'outer'),
      event('tool_use', { tool_use_id: 'deep', tool_name: 'Read', tool_input: {}, executor: 'agent', parent_tool_use_id: 'task' }),
    ]);
    expect(assistant(state).parts).toEqual([{ kind: 'tool', toolUseId: 'task' }, { kind: 'text', text: 'outer' }]);
    expect(state.tools['task']!.entries).toMatchObject([
      { id: 'sub', parts: [{ kind: 'text', text: 'inner' }, { kind: 'tool', toolUseId: 'deep' }] },
    ]);
    expect(state.tools['deep']!.parent).toBe('task');
  });
});

it("moves a subagent's call to where it belongs when only its result names the parent", () => {
  const state = play([
    event('assistant_message_start', { id: 'a', model: 'm' }),
    event('tool_use', { tool_use_id: 'task', tool_name: 'Task', tool_input: {}, executor: 'agent' }),
    event('tool_use', { tool_use_id: 'inner', tool_name: 'Bash', tool_input: {}, executor: 'agent' }),
    event('tool_result', { tool_use_id: 'inner', content: '', is_error: false, parent_tool_use_id: 'task' }),
  ]);
  expect(assistant(state).parts).toEqual([{ kind: 'tool', toolUseId: 'task' }]);
  expect(state.tools['task']!.entries).toMatchObject([{ parts: [{ kind: 'tool', toolUseId: 'inner' }] }]);
  expect(state.tools['inner']).toMatchObject({ parent: 'task', status: 'done' });
});

describe('tools and prompts', () => {
  const call = () => [
    event('assistant_message_start', { id: 'a', model: 'm' }),
    event('assistant_message_delta', { id: 'a', delta: { delta_type: 'tool_input', tool_use_id: 't', tool_name: 'Bash', partial_json: '{"a"' } }),
  ];

  it('shows live partial input, then the input', () => {
    const partial = play(call());
    expect(partial.tools['t']).toMatchObject({ status: 'streaming', partialInput: '{"a"', input: undefined, name: 'Bash' });
    const whole = play([event('tool_use', { tool_use_id: 't', tool_name: 'Bash', tool_input: { a: 1 }, executor: 'client' })], partial);
    expect(whole.tools['t']).toMatchObject({ status: 'running', input: { a: 1 }, executor: 'client' });
    expect(assistant(whole).parts).toHaveLength(1);
  });

  it('marks a result that came cut', () => {
    const state = play([
      ...call(), event('tool_result', { tool_use_id: 't', content: 'beg', is_error: false, truncated: true, total_bytes: 9 }),
    ]);
    expect(state.tools['t']!.result).toMatchObject({ content: 'beg', truncated: { seq: state.lastSeq, totalBytes: 9 } });
    const whole = play([...call(), event('tool_result', { tool_use_id: 't', content: 'all', is_error: false })]);
    expect(whole.tools['t']!.result!.truncated).toBeUndefined();
  });

  it('a call that an interrupt stopped is not failed, one that failed by itself before it is', () => {
    const state = play([
      event('tool_use', { tool_use_id: 'own', tool_name: 'Bash', tool_input: {}, executor: 'agent' }),
      event('tool_result', { tool_use_id: 'own', content: 'exit 1', is_error: true }),
      event('tool_use', { tool_use_id: 'cut', tool_name: 'Bash', tool_input: {}, executor: 'agent' }),
      event('tool_result', { tool_use_id: 'cut', content: 'stopped', is_error: true, timestamp: 60_000 }),
      event('interrupted', { outcome: 'interrupted', timestamp: 60_010 }),
      event('result', { subtype: 'interrupted', is_error: false, timestamp: 60_020 }),
    ]);
    expect(state.tools['own']!.status).toBe('failed');
    expect(state.tools['cut']!.status).toBe('cancelled');
  });

  it('knows an error that the last message has said already', () => {
    const failed = (error: string, said: string) => play([
      event('assistant_message_start', { id: 'a', model: 'm' }), text('a', said),
      event('assistant_message_complete', { id: 'a' }),
      event('result', { subtype: 'error', is_error: true, error }),
    ]).entries.at(-1);
    expect(failed('API Error: 400 no', 'API Error: 400 no')).toMatchObject({ kind: 'result', isSaid: true });
    expect(failed('API Error: 400 no', 'I begin')).toMatchObject({ kind: 'result', isSaid: false });
  });

  it.each([['allow', false, 'done'], ['allow', true, 'failed'], ['deny', true, 'denied']])(
    'ends as decision %s, is_error %s: %s',
    (decision, isError, status) => {
      const begin = call();
      const request = prompt();
      const open = play([...begin, request]);
      expect(open.prompts.map(({ id }) => id)).toEqual([request.id]);
      expect(open.tools['t']!.status).toBe('waiting');
      const ended = play([
        event('permission_resolved', { permission_id: request.id, decision, reason: 'client' }),
        event('tool_result', { tool_use_id: 't', content: 'out', is_error: isError }),
      ], open);
      expect(ended.prompts).toEqual([]);
      expect(ended.tools['t']).toMatchObject({ status, result: { content: 'out', isError }, permission: { decision } });
    },
  );

  it('keeps several prompts open, each closed by its own id', () => {
    const [one, two] = [prompt({ tool_use_id: 't1' }), prompt({ tool_use_id: 't2' })];
    const state = play([one, two, event('permission_resolved', { permission_id: one.id, decision: 'allow', reason: 'client' })]);
    expect(state.prompts.map(({ id }) => id)).toEqual([two.id]);
  });

  it('takes open prompts from session_info, once', () => {
    const request = prompt();
    const state = play([info({ pending_permissions: [request], state: 'waiting_permission' })]);
    expect(state.prompts).toHaveLength(1);
    expect(play([request], state).prompts).toHaveLength(1);
    expect(state.status).toBe('waiting_permission');
    expect(play([info({ last_seq: 99 })], state).prompts).toEqual([]);
  });

  it('cancels what is open when the turn ends', () => {
    const state = play([...call(), event('result', { subtype: 'interrupted', is_error: false })]);
    expect(state.tools['t']!.status).toBe('cancelled');
  });

  it('leaves a call alone that somebody is asked about when a replay ends an earlier turn', () => {
    const earlier = [...call(), event('result', { subtype: 'success', is_error: false })];
    const use = event('tool_use', { tool_use_id: 'open', tool_name: 'Bash', tool_input: { command: 'x' }, executor: 'agent' });
    const request = prompt({ tool_use_id: 'open' });
    const last_seq = request.seq!;
    const state = play([
      info({ replay: 'ok', last_seq, pending_permissions: [request], state: 'waiting_permission' }), ...earlier, use, request,
    ]);
    expect(state.tools['t']!.status).toBe('cancelled');
    expect(state.tools['open']!.status).toBe('waiting');
    expect(state.prompts).toHaveLength(1);
    const torn = play([info({ replay: 'gap', last_seq: last_seq + 100, pending_permissions: [request] })], state);
    expect(torn.tools['open']!.status).toBe('waiting');
  });

  it('reads questions, and leaves odd input alone', () => {
    const ask = (tool_input: object) => questionsOf({ ...prompt(), tool_name: 'AskUserQuestion', tool_input } as PermissionRequest);
    expect(ask({ questions: [{ question: 'Which?', header: 'H', multiSelect: true, options: [{ label: 'A', description: 'd' }, 'B', 3] }] }))
      .toEqual([{
        question: 'Which?', header: 'H', multiSelect: true,
        options: [{ label: 'A', description: 'd' }, { label: 'B', description: undefined }],
      }]);
    expect(ask({ questions: 'no' })).toBeUndefined();
    expect(ask({ questions: [{}] })).toBeUndefined();
    expect(questionsOf(prompt())).toBeUndefined();
  });
});

describe('turns and queue', () => {
  const user = (id: string) => event('user_message', { request_id: id, content: id });
  const end = (id: string | undefined, subtype = 'success', cost = 1) =>
    event('result', { ...(id ? { request_id: id } : {}), subtype, is_error: false, total_cost_usd: cost, usage: { input_tokens: 3 } });
  const kinds = (state: ConversationState) => state.entries.map((entry) => (entry.kind === 'user' ? `${entry.id}:${entry.status}` : entry.kind));

  it('keeps what waits out of the running turn', () => {
    let state = play([
      { type: '@sent', id: 'u1', content: 'u1' }, user('u1'), { type: '@sent', id: 'u2', content: 'u2' }, user('u2'),
      event('assistant_message_start', { id: 'a', model: 'm', request_id: 'u1' }), { type: '@sent', id: 'u3', content: 'u3' },
    ]);
    expect(kinds(state)).toEqual(['u1:running', 'assistant']);
    expect(state.waiting.map((entry: UserEntry) => [entry.id, entry.status])).toEqual([['u2', 'queued'], ['u3', 'sending']]);
    state = play([end('u1')], state);
    expect(kinds(state)).toEqual(['u1:done', 'assistant', 'result', 'u2:running']);
    state = play([end('u2'), event('status_update', { status: 'idle' })], state);
    expect(state.running).toBeUndefined();
    expect(state.waiting.map(({ id }) => id)).toEqual(['u3']);
  });

  it('shows a cancelled and a refused message where they left', () => {
    const state = play([
      user('u1'), user('u2'), event('cancelled', { target_id: 'u2' }), end('u2', 'cancelled'),
      { type: '@sent', id: 'u3', content: 'x' }, { type: '@refused', id: 'u3', error: 'queue full' },
    ]);
    expect(kinds(state)).toEqual(['u1:running', 'u2:cancelled', 'u3:refused']);
    expect(state.running).toBe('u1');
  });

  it('counts cost and usage once, session_info included', () => {
    const events = [user('u1'), end('u1', 'success', 1), user('u2'), end('u2', 'success', 2)];
    expect(play(events).entries.flatMap((entry) => (entry.kind === 'result' ? [entry.costUsd] : []))).toEqual([1, 1]);
    expect(play(events).totals).toMatchObject({ turns: 2, costUsd: 2, inputTokens: 6 });
    const attachedLater = play([info({ replay: 'ok', last_seq: events[1]!.seq, total_cost_usd: 1, num_turns: 1 }), ...events]);
    expect(attachedLater.totals).toMatchObject({ turns: 2, costUsd: 2, inputTokens: 6 });
  });

  it('counts on when the agent was replaced and counts from zero', () => {
    const events = [user('u1'), end('u1', 'success', 3), user('u2'), end('u2', 'success', 1)];
    expect(play(events).totals.costUsd).toBe(4);
    expect(play([info({ total_cost_usd: 3 }), user('u3'), end('u3', 'success', 5)]).totals.costUsd).toBe(5);
  });

  it('shows a turn that the agent began itself', () => {
    const state = play([event('assistant_message_start', { id: 'a', model: 'm' })]);
    expect(state.running).toBe('');
    expect(play([end(undefined)], state).running).toBeUndefined();
  });
});

describe('attaching again', () => {
  it('starts over on another epoch, and keeps what is being sent', () => {
    const before = play([info({ epoch: 'e1' }), text('a', 'old'), { type: '@sent', id: 'u', content: 'hi' }]);
    const state = play([info({ epoch: 'e2', replay: 'reset', last_seq: 5 })], before);
    expect(state).toMatchObject({ lastSeq: 0, entries: [], epoch: 'e2', replayUntil: 5 });
    expect(state.waiting.map(({ id }) => id)).toEqual(['u']);
  });

  it('says so when a part is missing', () => {
    const before = play([info(), text('a', 'half')]);
    const state = play([info({ replay: 'gap', last_seq: 1_000, first_seq: 900 })], before);
    expect(assistant(state).streaming).toBe(false);
    expect(state.entries.at(-1)).toMatchObject({ kind: 'notice', code: 'gap' });
  });

  it('does not believe a notice that events have overtaken', () => {
    const request = prompt();
    const state = play([info(), request, info({ last_seq: request.seq! - 1 })]);
    expect(state.prompts).toHaveLength(1);
  });

  it('shows warnings to everybody, not the answers to single requests', () => {
    const reply = { type: 'error', id: 'r', session_id: SESSION, code: 'gap', message: 'm' } as unknown as ServerMessage;
    expect(play([reply]).entries).toHaveLength(1);
    expect(play([{ ...reply, request_id: 'q' } as ServerMessage]).entries).toHaveLength(0);
  });
});

describe('what the agent does beside turns', () => {
  const task = (fields: object = {}) => event('task_update', {
    task_id: 'k', kind: 'shell', status: 'running', background: true, description: 'npm run dev', tool_use_id: 't', ...fields,
  });
  const call = (id = 't', more: object = {}) => event('tool_use', { tool_use_id: id, tool_name: 'Bash', tool_input: {}, executor: 'agent', ...more });

  it('knows a task from its beginning to its end, and which call began it', () => {
    const running = play([
      call(), task(), event('tool_result', { tool_use_id: 't', content: 'runs', is_error: false, task_id: 'k' }),
      event('result', { subtype: 'success', is_error: false }),
      task({ progress: { tool_uses: 2, total_tokens: 300, duration_ms: 1500, last_tool: 'Read' } }),
    ]);
    expect(running.tools['t']).toMatchObject({ status: 'done', taskId: 'k' });
    expect(running.tasks['k']).toMatchObject({
      status: 'running', background: true, description: 'npm run dev', toolUseId: 't',
      progress: { toolUses: 2, totalTokens: 300, durationMs: 1500, lastTool: 'Read' },
    });
    const over = play([task({ status: 'completed', summary: 'exit 0' })], running);
    expect(over.tasks['k']).toMatchObject({ status: 'completed', summary: 'exit 0', progress: { toolUses: 2 } });
    expect(over.tasks['k']!.endedAt).toBeGreaterThan(over.tasks['k']!.startedAt!);
  });

  it('a call of a task outlives the turn and ends with the task', () => {
    const outlives = play([
      call('t'), task({ kind: 'agent' }), event('tool_result', { tool_use_id: 't', content: 'launched', is_error: false }),
      call('inner', { parent_tool_use_id: 't' }), call('deep', { parent_tool_use_id: 'inner' }), call('other'),
      event('result', { subtype: 'success', is_error: false }),
    ]);
    expect([outlives.tools['inner']!.status, outlives.tools['deep']!.status]).toEqual(['running', 'running']);
    expect(outlives.tools['other']!.status).toBe('cancelled');
    const over = play([call('next'), task({ kind: 'agent', status: 'stopped' })], outlives);
    expect([over.tools['inner']!.status, over.tools['deep']!.status, over.tools['next']!.status]).toEqual(['cancelled', 'cancelled', 'running']);
  });

  it('session_info says which tasks run: others have ended unseen', () => {
    const known = play([task(), task({ task_id: 'gone' })]);
    const state = play([info({ last_seq: known.lastSeq, tasks: [{ task_id: 'k', kind: 'shell', status: 'running', background: true, description: 'x' }] })], known);
    expect([state.tasks['k']!.status, state.tasks['gone']!.status]).toEqual(['running', 'stopped']);
    expect(state.tasks['k']!.toolUseId).toBe('t');
    // With a replay to come, the events say it.
    const before = play([info({ last_seq: known.lastSeq + 5, replay: 'ok', tasks: [] })], known);
    expect(before.tasks['k']!.status).toBe('running');
  });

  it('forgets the oldest of many that have ended, never one that runs', () => {
    const first = task();
    const many = Array.from({ length: 150 }, (_, at) => task({ task_id: `e${at}`, status: 'completed' }));
    const state = play([first, ...many]);
    expect(Object.keys(state.tasks)).toHaveLength(101);
    expect(state.tasks['k']).toBeDefined();
    expect(state.tasks['e49']).toBeUndefined();
  });

  it('says why the agent goes on by itself', () => {
    const state = play([
      task(), task({ status: 'completed' }),
      event('status_update', { status: 'thinking', origin: { kind: 'task', task_id: 'k' } }),
      event('status_update', { status: 'executing_tool', origin: { kind: 'task', task_id: 'k' } }),
    ]);
    expect(state.running).toBe('');
    expect(state.entries).toMatchObject([{ kind: 'notice', code: 'agent_turn', message: expect.stringContaining('npm run dev') as string }]);
  });

  it('marks where the conversation began anew', () => {
    const state = play([event('conversation_reset', { reason: 'clear' })]);
    expect(state.entries).toMatchObject([{ kind: 'reset', reason: 'clear' }]);
  });
});
