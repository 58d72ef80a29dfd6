import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { backoffDelay, Client, ClientClosedError, ConnectionLostError, EventOverflowError, GatewayError, MessageLostError, MessageTooBigError, SessionLostError } from '../src/index.js';
import type { ClientOptions, ConversationState, Session, SessionEvent } from '../src/index.js';
import { answer, FakeGateway, toolTurn } from './fake-gateway.js';

let gateway: FakeGateway;
const clients: Client[] = [];

function connect(options: Partial<ClientOptions> = {}): Client {
  const client = new Client({ url: gateway.url, WebSocket, backoff: { initialMs: 5, maxMs: 20 }, ...options });
  clients.push(client);
  return client;
}

/** Settles when the session's state fits. */
function until(session: Session, fits: (state: ConversationState) => boolean): Promise<ConversationState> {
  return new Promise((resolve) => {
    if (fits(session.state)) return resolve(session.state);
    const stop = session.subscribe((state) => {
      if (!fits(state)) return;
      stop();
      resolve(state);
    });
  });
}

const textOf = (state: ConversationState) => state.entries.flatMap((entry) => (entry.kind === 'assistant'
  ? entry.parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])) : [])).join('|');

beforeEach(async () => {
  gateway = await FakeGateway.start();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await gateway.stop();
});

describe('a conversation', () => {
  it('runs from start to result', async () => {
    const session = await connect().start({ cwd: '/w' });
    const turn = session.send('hello');
    await turn.accepted;
    expect(await turn.result).toMatchObject({ subtype: 'success', request_id: turn.id });
    const state = await until(session, ({ status }) => status === 'idle');
    expect(textOf(state)).toBe('You said: hello');
    expect(gateway.of('session_start')[0]).toMatchObject({ cwd: '/w', last_seq: 0 });
  });

  it('sends the token as a subprotocol, asked anew for every connection', async () => {
    let tokens = 0;
    const client = connect({ token: () => `secret${(tokens += 1)}` });
    await client.start();
    gateway.cut();
    await client.list();
    expect(gateway.protocols).toEqual(['claude-ws.v1,bearer.secret1', 'claude-ws.v1,bearer.secret2']);
  });

  it('refuses a token that no header can carry', () => {
    const client = connect({ token: 'a b' });
    client.connect();
    expect(client.connection).toMatchObject({ status: 'closed', reason: expect.stringContaining('token') });
  });

  it('iterates over the events from the first one on', async () => {
    const session = await connect().start();
    const seen: SessionEvent[] = [];
    const reading = (async () => {
      for await (const event of session.events()) {
        seen.push(event);
        if (event.type === 'result') break;
      }
    })();
    session.send('hi');
    await reading;
    expect(seen).toEqual(gateway.sessions.get(session.id)!.log.slice(0, seen.length));
    expect(seen[0]!.type).toBe('user_message');
  });

  it('replays the history to one who attaches later, and gives live events only where asked', async () => {
    const first = await connect().start();
    await first.send('one').result;
    await until(first, ({ status }) => status === 'idle');
    const second = await connect().attach(first.id);
    await until(second, ({ lastSeq }) => lastSeq === first.lastSeq);
    const shown = ({ entries, tools, totals }: ConversationState) => ({ entries, tools, totals });
    expect(shown(second.state)).toEqual(shown(first.state));
    const live = await connect().attach(first.id, { lastSeq: 'live' });
    expect(live.state.entries).toEqual([]);
    expect(live.lastSeq).toBe(first.lastSeq);
  });

  it('reads the whole history again when it opens a session once more on the same connection', async () => {
    const client = connect();
    const first = await client.start();
    await first.send('one').result;
    await until(first, ({ status }) => status === 'idle');
    first.close();
    // There is no detach: an event for the first attachment comes before the second one is answered.
    gateway.holdsInfo = 'attach';
    const again = client.open({ sessionId: first.id });
    const seen: SessionEvent[] = [];
    const reading = (async () => {
      for await (const event of again.events()) {
        seen.push(event);
        if (event.type === 'warning' && event.message === 'last') break;
      }
    })();
    await gateway.got('session_start', 2);
    const inside = gateway.sessions.get(first.id)!;
    gateway.event(inside, 'warning', { code: 'api_retry', message: 'between' });
    gateway.release('attach');
    await again.ready;
    await until(again, () => again.caughtUp);
    gateway.event(inside, 'warning', { code: 'api_retry', message: 'last' });
    await reading;
    expect(seen).toEqual(inside.log);
    expect(textOf(again.state)).toBe('You said: one');
  });

  it('does not make a session by attaching to one that does not exist', async () => {
    await expect(connect().attach('nope')).rejects.toMatchObject({ code: 'unknown_session' });
    expect(gateway.sessions.size).toBe(0);
  });

  it('makes a session in ACP form', async () => {
    const session = await connect().newSession('/w', []);
    await session.send('x').result;
    expect(session.id).toMatch(/^made-/);
  });

  it('goes through a list page by page', async () => {
    const client = connect();
    for (let made = 0; made < 5; made += 1) await client.start({ sessionId: `s-${made}` });
    const pages = [];
    for await (const page of client.pages({ limit: 2, status: ['active'] })) pages.push(page.sessions.map(({ session_id }) => session_id));
    expect(pages).toEqual([['s-0', 's-1'], ['s-2', 's-3'], ['s-4']]);
    expect(gateway.of('session_list')).toMatchObject([{ limit: 2, status: ['active'] }, { cursor: '2' }, { cursor: '4' }]);
    expect(await client.listPage({ cursor: '4' })).toEqual({ sessions: [{ session_id: 's-4' }], total: 5 });
    expect(await client.list()).toHaveLength(5);
  });

  it('lists, queries and configures', async () => {
    const client = connect();
    const session = await client.start();
    expect(await client.list()).toMatchObject([{ session_id: session.id }]);
    expect(await session.configUpdate({ model: 'opus' })).toMatchObject({ model: 'opus' });
    expect(await session.config()).toMatchObject({ model: 'opus' });
    expect((await session.refresh()).session_id).toBe(session.id);
    expect(session.state.config.model).toBe('opus');
  });

  it('ends a session, its readers and its client side', async () => {
    const session = await connect().start();
    const events = session.events();
    await session.end('done');
    expect((await events.next()).value).toMatchObject({ type: 'session_ended' });
    expect((await events.next()).done).toBe(true);
    expect(session.state.ended).toBe('client');
    await expect(session.send('late').accepted).rejects.toThrow('ended');
  });

  it('ends a session that it is not attached to', async () => {
    const session = await connect().start();
    await connect().end(session.id);
    await until(session, ({ ended }) => ended === 'client');
    await expect(connect().end('nope')).rejects.toMatchObject({ code: 'unknown_session' });
  });

  it('queues, cancels, interrupts', async () => {
    gateway.script = () => [...answer('begun'), { wait: 'never' }];
    const session = await connect().start();
    const [one, two] = [session.send('1'), session.send('2')];
    await two.accepted;
    await session.cancel(two.id);
    expect((await two.result).subtype).toBe('cancelled');
    expect(await session.interrupt()).toMatchObject({ outcome: 'interrupted' });
    expect((await one.result).subtype).toBe('interrupted');
    expect(await session.interrupt()).toMatchObject({ outcome: 'nothing_running' });
    await expect(session.resume().result).rejects.toMatchObject({ code: 'nothing_to_resume' });
    await expect(session.cancel('unknown')).rejects.toBeInstanceOf(GatewayError);
  });
});

describe('long results', () => {
  it('asks for cut ones each time it attaches, and reads pages', async () => {
    const session = await connect().start({ maxContentBytes: 2_048, model: 'm' });
    expect(gateway.of('session_start')[0]).toMatchObject({ max_content_bytes: 2_048, model: 'm' });
    const { seq } = gateway.event(gateway.sessions.get(session.id)!, 'tool_result', {
      tool_use_id: 't', content: '0123456789', is_error: false,
    });
    await until(session, ({ lastSeq }) => lastSeq === seq);
    expect(await session.readResult('t', seq)).toMatchObject({ offset: 0, content: '0123456789', total_bytes: 10 });
    const page = await session.readResult('t', seq, { offset: 4, maxBytes: 3 });
    expect(page).toMatchObject({ offset: 4, content: '456', next_offset: 7 });
    await expect(session.readResult('other', seq)).rejects.toMatchObject({ code: 'unknown_request' });
    gateway.cut();
    await gateway.got('session_start', 2);
    expect(gateway.of('session_start')[1]).toMatchObject({ max_content_bytes: 2_048, last_seq: seq });
  });
});

describe('work beside turns', () => {
  it('sends a tool to the background, reads what it has written, stops it once', async () => {
    gateway.script = () => [...answer('begun'), { wait: 'never' }];
    const session = await connect().start();
    await expect(session.background()).rejects.toMatchObject({ code: 'unknown_request' });
    const { accepted } = session.send('1');
    await accepted;
    await until(session, ({ running }) => running !== undefined);
    await session.background();
    await until(session, ({ tasks }) => tasks['task-1']?.status === 'running');
    expect(await session.taskOutput('task-1')).toMatchObject({ output: 'so far', truncated: false });
    await session.stopTask('task-1');
    expect(session.state.tasks['task-1']!.status).toBe('stopped');
    await expect(session.stopTask('task-1')).rejects.toMatchObject({ code: 'unknown_request' });
    await expect(session.taskOutput('task-1')).rejects.toMatchObject({ code: 'unknown_request' });
  });

  it('interrupts with all that goes on beside', async () => {
    const session = await connect().start();
    await session.interrupt('enough', { tasks: true });
    expect(gateway.of('interrupt')).toMatchObject([{ reason: 'enough', tasks: true }]);
    await session.interrupt();
    expect(gateway.of('interrupt')[1]).not.toHaveProperty('tasks');
  });
});

describe('prompts and tools', () => {
  it('allows with edited input', async () => {
    gateway.script = toolTurn;
    const session = await connect().start();
    const turn = session.send('go');
    const { prompts } = await until(session, (state) => state.prompts.length > 0);
    expect(await session.allow(prompts[0]!.id, { command: 'touch y' })).toMatchObject({ decision: 'allow' });
    await turn.result;
    expect(session.state.tools['t1']).toMatchObject({ status: 'done', result: { content: 'ran {"command":"touch y"}' } });
    await expect(session.deny(prompts[0]!.id)).rejects.toMatchObject({ code: 'unknown_request' });
  });

  it('tells the late one how a prompt ended', async () => {
    gateway.script = toolTurn;
    const first = await connect().start();
    first.send('go');
    const second = await connect().attach(first.id);
    const { prompts } = await until(second, (state) => state.prompts.length > 0);
    const [denied] = await Promise.all([second.deny(prompts[0]!.id, 'no'), until(first, ({ tools }) => tools['t1']?.status === 'denied')]);
    expect(denied.decision).toBe('deny');
    expect(gateway.of('permission_response')[0]).toMatchObject({ explanation: 'no' });
  });

  it('answers questions', async () => {
    gateway.script = () => [{
      ask: {
        type: 'permission_request', tool_name: 'AskUserQuestion', tool_use_id: 'q',
        tool_input: { questions: [{ question: 'Which?', multiSelect: true, options: [{ label: 'A' }, { label: 'B' }] }] },
        context: { description: '', risk_level: 'low', suggestions: [] },
      },
    }];
    const session = await connect().start();
    const turn = session.send('ask');
    const { prompts } = await until(session, (state) => state.prompts.length > 0);
    expect(prompts[0]!.questions).toHaveLength(1);
    await session.answer(prompts[0]!.request, { 'Which?': ['A', 'B'] });
    await turn.result;
    expect(gateway.of('permission_response')[0]!['updated_input']).toMatchObject({ answers: { 'Which?': 'A, B' }, questions: [{}] });
  });

  const call = { type: 'tool_use', tool_use_id: 'c', tool_name: 'mcp__client__zone', tool_input: { a: 1 } };

  it('runs client tools and reports what they throw', async () => {
    gateway.script = () => [{ client: call }, { client: { ...call, tool_use_id: 'd', tool_name: 'mcp__client__bad' } }];
    const session = await connect().start({
      tools: { zone: (input) => `zone ${JSON.stringify(input)}`, bad: () => { throw new Error('broken'); } },
    });
    await session.send('go').result;
    expect(session.state.tools['c']!.result).toMatchObject({ content: 'zone {"a":1}', isError: false });
    expect(session.state.tools['d']!.result).toMatchObject({ content: 'broken', isError: true });
  });

  it('does not run a tool again whose answer the replay brings, but runs one that is open', async () => {
    gateway.script = () => [{ client: call }, { client: { ...call, tool_use_id: 'open' } }];
    const first = await connect().start();
    const turn = first.send('go');
    await until(first, ({ tools }) => 'c' in tools);
    await first.toolResult('c', 'by hand');
    await until(first, ({ tools }) => 'open' in tools);
    const ran: string[] = [];
    await connect().start({ sessionId: first.id, tools: { zone: (_, { toolUseId }) => { ran.push(toolUseId); return 'x'; } } });
    await turn.result;
    expect(ran).toEqual(['open']);
  });

  it('aborts a tool whose turn was interrupted', async () => {
    gateway.script = () => [{ client: call }];
    let aborted: Promise<unknown> | undefined;
    const session = await connect().start({
      tools: {
        zone: (_, { signal }) => {
          aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
          return aborted.then(() => 'late');
        },
      },
    });
    const turn = session.send('go');
    await until(session, ({ tools }) => 'c' in tools);
    await session.interrupt();
    await turn.result;
    await aborted;
    expect(gateway.of('tool_result')).toEqual([]);
  });
});

describe('when the connection breaks', () => {
  /** A whole conversation with a prompt; the stitched transcript must be the gateway's log. */
  async function converse(client: Client): Promise<{ seen: SessionEvent[]; session: Session }> {
    gateway.script = toolTurn;
    const session = client.open();
    const seen: SessionEvent[] = [];
    const reading = (async () => {
      for await (const event of session.events()) {
        seen.push(event);
        if (event.type === 'permission_request') void session.allow(event.id).catch(() => {});
        if (event.type === 'status_update' && event.status === 'idle') break;
      }
    })();
    const turn = session.send('go');
    await turn.result;
    await reading;
    return { seen, session };
  }

  it('goes on exactly where it was, cut after every frame of the gateway', async () => {
    const { session } = await converse(connect());
    const frames = gateway.sessions.get(session.id)!.log.length + 2;
    for (let at = 0; at < frames; at += 1) {
      gateway.cuts = [at];
      const { seen, session: cut } = await converse(connect());
      expect(seen, `cut after ${at}`).toEqual(gateway.sessions.get(cut.id)!.log);
      expect(cut.state.entries.filter(({ kind }) => kind === 'user')).toHaveLength(1);
      expect(textOf(cut.state)).toBe('I shall touch it.|All done.');
    }
  });

  it('says everything once more that did not arrive, cut before every frame of the client', async () => {
    for (let at = 0; at < 4; at += 1) {
      gateway.cutsIn = [at];
      const { seen, session } = await converse(connect());
      expect(seen, `cut before ${at}`).toEqual(gateway.sessions.get(session.id)!.log);
      expect(seen.filter(({ type }) => type === 'user_message')).toHaveLength(1);
    }
  });

  it('survives being cut at every frame, again and again', async () => {
    const { session } = await converse(connect());
    const frames = gateway.sessions.get(session.id)!.log.length;
    gateway.cuts = Array.from({ length: frames * 2 }, (_, index) => 2 + (index % 3));
    const { seen, session: cut } = await converse(connect({ backoff: { initialMs: 1, maxMs: 2 } }));
    expect(seen).toEqual(gateway.sessions.get(cut.id)!.log);
  });

  it('takes `duplicate_message` for an acknowledgement', async () => {
    const session = await connect().start();
    await session.send('x', { id: 'same' }).result;
    const again = session.send('x', { id: 'same' });
    await again.accepted;
    expect(gateway.sessions.get(session.id)!.log.filter(({ type }) => type === 'user_message')).toHaveLength(1);
  });

  it('does not repeat what is about this moment', async () => {
    gateway.script = () => [{ wait: 'never' }];
    const client = connect();
    const session = await client.start();
    await session.send('x').accepted;
    gateway.mute = true;
    const lost = session.interrupt();
    await new Promise<void>((resolve) => {
      const stop = client.onConnection(() => { stop(); resolve(); });
      gateway.cut();
    });
    await expect(lost).rejects.toBeInstanceOf(ConnectionLostError);
    await expect(session.interrupt()).rejects.toBeInstanceOf(ConnectionLostError);
  });

  it('sends once what is asked for as soon as the connection is announced', async () => {
    const client = connect();
    await client.start({ sessionId: 'early' });
    const made: Promise<Session>[] = [];
    const stop = client.onConnection(({ status }) => {
      if (status !== 'open') return;
      stop();
      made.push(client.newSession('/w'), client.start({ sessionId: 'other' }));
    });
    gateway.cut();
    await new Promise<void>((resolve) => client.onConnection(({ status }) => status === 'open' && resolve()));
    await Promise.all(made);
    await client.list();
    expect(gateway.of('new_session')).toHaveLength(1);
    // Each connection attaches each session once; the one that `new_session` made, too.
    expect(gateway.of('session_start').map((message) => message['session_id']).sort())
      .toEqual(['early', 'early', expect.stringMatching(/^made-/), 'other']);
  });

  it('settles an answer that counted before the cut, although the refusal of the second one overtakes the replay', async () => {
    gateway.script = toolTurn;
    const session = await connect().start();
    const turn = session.send('go');
    const { prompts } = await until(session, (state) => state.prompts.length > 0);
    gateway.mute = true;
    const answered = session.allow(prompts[0]!.id);
    await gateway.got('permission_response', 1);
    gateway.holdsReplay = 'replay';
    gateway.cut();
    gateway.mute = false;
    await gateway.got('permission_response', 2);
    // In order behind the refusal: it is there when this is answered.
    await session.config();
    gateway.release('replay');
    expect(await answered).toMatchObject({ decision: 'allow', permission_id: prompts[0]!.id });
    await turn.result;
    await expect(session.deny(prompts[0]!.id)).rejects.toMatchObject({ code: 'unknown_request' });
  });

  it('refuses a late answer once the replay is through without its end', async () => {
    const session = await connect().start();
    await session.send('one').result;
    await until(session, ({ status }) => status === 'idle');
    gateway.holdsReplay = 'replay';
    const late = await connect().attach(session.id);
    const refused = late.allow('nothing');
    await late.config();
    gateway.release('replay');
    await expect(refused).rejects.toMatchObject({ code: 'unknown_request' });
  });

  it('shows the connection, backs off, and gives up where asked', async () => {
    gateway.down = true;
    const client = connect({ maxAttempts: 3, backoff: { initialMs: 1, maxMs: 1 } });
    const states: string[] = [];
    client.onConnection(({ status }) => states.push(status));
    const lost = client.list();
    await expect(lost).rejects.toBeInstanceOf(ClientClosedError);
    expect(states).toEqual(['connecting', 'waiting', 'connecting', 'waiting', 'connecting', 'closed']);
    await expect(client.list()).rejects.toBeInstanceOf(ClientClosedError);
  });

  it('waits for a gateway that is down, and sends then', async () => {
    gateway.down = true;
    const client = connect();
    const session = client.open();
    const turn = session.send('early');
    expect(session.state.waiting).toMatchObject([{ id: turn.id, status: 'sending' }]);
    await new Promise<void>((resolve) => client.onConnection(({ status }) => status === 'waiting' && resolve()));
    gateway.down = false;
    expect((await turn.result).subtype).toBe('success');
    expect(session.state.waiting).toEqual([]);
  });

  it('notices a gateway that has fallen silent', async () => {
    gateway.heartbeatMs = 20;
    const client = connect();
    const session = await client.start();
    gateway.mute = true;
    await new Promise<void>((resolve) => client.onConnection((state) => state.status === 'waiting' && resolve()));
    gateway.mute = false;
    await session.send('back').result;
    expect(gateway.connections).toBeGreaterThan(1);
  });

  it('reads all over again on another epoch', async () => {
    const client = connect();
    const session = await client.start();
    await session.send('one').result;
    await until(session, ({ status }) => status === 'idle');
    const inside = gateway.sessions.get(session.id)!;
    inside.epoch = 'another';
    inside.log = inside.log.slice(0, 3);
    gateway.cut();
    const state = await until(session, ({ epoch, lastSeq }) => epoch === 'another' && lastSeq > 0);
    expect(state.replay).toBe('reset');
    expect(session.epoch).toBe('another');
  });

  it('settles a turn that the gateway has lost', async () => {
    gateway.script = () => [{ wait: 'never' }];
    const session = await connect().start();
    const [kept, lost] = [session.send('kept'), session.send('lost')];
    await lost.accepted;
    // Killed before it had stored the second, it knows nothing of it.
    const inside = gateway.sessions.get(session.id)!;
    inside.log = inside.log.filter((event) => event.request_id !== lost.id);
    inside.queue = inside.queue.filter(({ id }) => id !== lost.id);
    inside.epoch = 'another';
    gateway.cut();
    await expect(lost.result).rejects.toBeInstanceOf(MessageLostError);
    expect(await Promise.race([kept.result, session.refresh().then(() => 'open')])).toBe('open');
  });

  it('makes a session anew that had never run, with the options it had', async () => {
    const session = await connect().start({ cwd: '/w', model: 'm' });
    await session.configUpdate({ model: 'other' });
    gateway.sessions.clear();
    gateway.cut();
    await session.send('x').result;
    expect(gateway.of('session_start').at(-1)).toMatchObject({ cwd: '/w', model: 'other' });
  });

  it('says that a conversation is lost rather than begin another one', async () => {
    const session = await connect().start();
    await session.send('x').result;
    const events = session.events();
    gateway.sessions.clear();
    gateway.cut();
    await expect((async () => { for await (const event of events) void event; })()).rejects.toBeInstanceOf(SessionLostError);
    await expect(session.send('y').result).rejects.toBeInstanceOf(SessionLostError);
  });
});

describe('a listener that throws', () => {
  const uncaught: unknown[] = [];
  let others: NodeJS.UncaughtExceptionListener[];

  // The test runner's own would fail the run.
  beforeEach(() => {
    others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => uncaught.push(error.message));
  });
  afterEach(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of others) process.on('uncaughtException', listener);
    uncaught.length = 0;
  });

  it('is reported, and neither events nor the others suffer', async () => {
    const client = connect();
    const stops = [client.onConnection(() => { throw new Error('of the connection'); })];
    const session = await client.start();
    stops.push(session.subscribe(() => { throw new Error('of the session'); }));
    let heard: ConversationState | undefined;
    session.subscribe((state) => { heard = state; });
    await session.send('hello').result;
    gateway.cut();
    await session.send('again').result;
    expect(textOf(session.state)).toBe('You said: hello|You said: again');
    expect(heard).toBe(session.state);
    for (const stop of stops) stop();
    expect(new Set(uncaught)).toEqual(new Set(['of the connection', 'of the session']));
  });
});

describe('limits', () => {
  it('ends a reader that is too slow, and only that one', async () => {
    const session = await connect().start();
    const slow = session.events(3);
    await session.send('a longer text').result;
    const seen: number[] = [];
    const failure = await (async () => {
      for await (const event of slow) seen.push(event.seq);
      return undefined;
    })().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(EventOverflowError);
    expect(seen).toHaveLength(3);
    expect((failure as EventOverflowError).lastSeq).toBe(seen[2]);
    expect(session.state.entries.length).toBeGreaterThan(1);
  });

  it('does not send what the gateway will not take', async () => {
    gateway.maxMessageBytes = 1_000;
    const session = await connect().start();
    await expect(session.send('é'.repeat(600)).accepted).rejects.toBeInstanceOf(MessageTooBigError);
    expect(session.state.entries).toMatchObject([{ kind: 'user', status: 'refused' }]);
    await session.send('é'.repeat(100)).result;
  });

  it('settles requests that wait when it is closed', async () => {
    gateway.down = true;
    const client = connect();
    const [session, list] = [client.open(), client.list()];
    const turn = session.send('x');
    client.close();
    await expect(list).rejects.toBeInstanceOf(ClientClosedError);
    await expect(turn.result).rejects.toBeInstanceOf(ClientClosedError);
    await expect(session.ready).rejects.toBeInstanceOf(ClientClosedError);
  });

  it('gives up on a signal', async () => {
    gateway.down = true;
    const client = connect();
    await expect(client.list({ signal: AbortSignal.timeout(5) })).rejects.toThrow();
    await expect(client.list({ timeoutMs: 5 })).rejects.toThrow('no answer');
  });

  it('grows the delay to its bound, with jitter below it', () => {
    expect([1, 2, 3, 20, 5_000].map((attempt) => backoffDelay(attempt, {}, () => 0))).toEqual([250, 500, 1000, 15000, 15000]);
    expect(backoffDelay(3, {}, () => 1)).toBe(500);
  });
});
