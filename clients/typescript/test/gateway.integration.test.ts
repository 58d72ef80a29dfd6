// Against a real gateway and the real Claude Code CLI; only the model is scripted. Run by `npm run test:integration`.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Client } from '../src/index.js';
import type { ConversationState, Session, SessionEvent } from '../src/index.js';
import { startGateway } from './gateway.js';
import type { Gateway } from './gateway.js';

let gateway: Gateway;
const clients: Client[] = [];

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(async () => {
  await gateway?.stop();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

/** Every socket that was made, so that a test can cut the newest one. */
class Cuttable extends WebSocket {
  static newest: Cuttable | undefined;
  constructor(url: string, protocols?: string | string[]) {
    super(url, protocols);
    Cuttable.newest = this;
  }
}

function connect(): Client {
  const client = new Client({ url: gateway.url, WebSocket: Cuttable, backoff: { initialMs: 5, maxMs: 50 } });
  clients.push(client);
  return client;
}

function until(session: Session, fits: (state: ConversationState) => boolean): Promise<ConversationState> {
  return new Promise((resolve, reject) => {
    if (fits(session.state)) return resolve(session.state);
    session.subscribe((state) => fits(state) && resolve(state));
    session.ready.catch(reject);
  });
}

const spoken = (state: ConversationState) => state.entries.flatMap((entry) => (entry.kind === 'assistant'
  ? entry.parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])) : [])).join('');

describe('a real session', () => {
  it('streams text exactly', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    const said = 'ünï "quotes" \\ 🦀 <b>bold</b>';
    expect(await session.send(`echo ${said}`).result).toMatchObject({ subtype: 'success', result: said });
    expect(spoken(session.state)).toBe(said);
    const idle = await until(session, ({ status }) => status === 'idle');
    expect(idle).toMatchObject({ totals: { turns: 1 }, waiting: [], prompts: [] });
  });

  it('thinks aloud, uses a tool after asking, and shows its result', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    const turn = session.send('touch asked.txt');
    const { prompts, tools } = await until(session, (state) => state.prompts.length > 0);
    expect(prompts[0]!.request).toMatchObject({ tool_name: 'Bash', tool_input: { command: 'touch asked.txt' } });
    expect(tools[prompts[0]!.request.tool_use_id]).toMatchObject({ status: 'waiting', input: { command: 'touch asked.txt' } });
    await session.allow(prompts[0]!.id, { ...prompts[0]!.request.tool_input, command: 'touch edited.txt' });
    expect((await turn.result).subtype).toBe('success');
    expect(existsSync(join(gateway.workspace, 'edited.txt'))).toBe(true);
    expect(session.state.tools[prompts[0]!.request.tool_use_id]!.status).toBe('done');
    await session.send('think').result;
    expect(session.state.entries.some((entry) => entry.kind === 'assistant' && entry.parts[0]?.kind === 'thinking')).toBe(true);
  });

  it('has two prompts open at once; one is denied with a reason', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    const turn = session.send('two');
    const { prompts } = await until(session, (state) => state.prompts.length === 2);
    await session.deny(prompts[1]!.id, 'that one is private');
    await session.allow(prompts[0]!.id);
    await turn.result;
    expect(session.state.tools[prompts[1]!.request.tool_use_id]).toMatchObject({
      status: 'denied', result: { content: expect.stringContaining('that one is private') },
    });
  });

  it('answers a question', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    const turn = session.send('question');
    const { prompts } = await until(session, (state) => state.prompts.length > 0);
    expect(prompts[0]!.questions).toMatchObject([{ question: 'Which colour do you like?' }]);
    await session.answer(prompts[0]!.request, { 'Which colour do you like?': 'Blue' });
    expect((await turn.result).result).toContain('Blue');
  });

  it('runs a client tool', async () => {
    const session = await connect().start({
      cwd: gateway.workspace,
      client_tools: [{ name: 'add', description: 'Adds', input_schema: { type: 'object', properties: { a: { type: 'number' } } } }],
      tools: { add: ({ a }) => `sum ${Number(a) + 1}` },
    });
    const turn = session.send('client add {"a":41}');
    void until(session, (state) => state.prompts.length > 0).then(({ prompts }) => session.allow(prompts[0]!.id));
    expect((await turn.result).result).toContain('sum 42');
    expect(Object.values(session.state.tools)[0]).toMatchObject({ executor: 'client', status: 'done' });
  });

  it('interrupts, resumes, queues and cancels', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    const slow = session.send('slow');
    await until(session, (state) => spoken(state).includes('Line 1'));
    const queued = session.send('hello');
    await queued.accepted;
    expect(session.state.waiting.map(({ id }) => id)).toEqual([queued.id]);
    await session.cancel(queued.id);
    expect((await queued.result).subtype).toBe('cancelled');
    await session.interrupt();
    expect((await slow.result).subtype).toBe('interrupted');
    expect((await session.resume().result).subtype).toBe('success');
    await expect(session.resume().result).rejects.toMatchObject({ code: 'nothing_to_resume' });
  });

  it('nests a subagent', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    const turn = session.send('subagent');
    const { prompts } = await until(session, (state) => state.prompts.length > 0);
    await session.allow(prompts[0]!.id);
    await turn.result;
    const inner = session.state.tools[prompts[0]!.request.tool_use_id]!;
    expect(session.state.tools[inner.parent!]!.entries.length).toBeGreaterThan(0);
  });

  it('lists and ends', async () => {
    const client = connect();
    const session = await client.start({ cwd: gateway.workspace, metadata: { title: 'listed' } });
    expect((await client.list()).find(({ session_id }) => session_id === session.id)).toMatchObject({ metadata: { title: 'listed' } });
    await session.end();
    await expect(client.attach(session.id)).rejects.toThrow();
  });

  it('reports an API error as one', async () => {
    const session = await connect().start({ cwd: gateway.workspace });
    expect(await session.send('error').result).toMatchObject({ subtype: 'error', error_code: 'api_error' });
  });
});

describe('a connection that breaks', () => {
  /** Small and repeatable; Math.random would make a failure hard to find again. */
  function* numbers(seed: number): Generator<number> {
    for (let state = seed; ; state = (state * 48_271) % 2_147_483_647) yield state;
  }

  it.each([1, 2, 3, 4, 5, 6])('loses nothing, cut at random points (seed %i)', async (seed) => {
    const random = numbers(seed * 7_919);
    const next = () => (random.next().value as number) % 25;
    const observer = await connect().start({ cwd: gateway.workspace });
    const client = connect();
    const session = await client.start({ sessionId: observer.id });
    const [seen, undisturbed]: SessionEvent[][] = [[], []];
    const read = async (from: Session, into: SessionEvent[], onEvent: (event: SessionEvent) => void) => {
      for await (const event of from.events()) {
        into.push(event);
        onEvent(event);
        if (event.type === 'status_update' && event.status === 'idle') return;
      }
    };
    let left = next();
    const socket = () => Cuttable.newest;
    const reading = Promise.all([
      read(observer, undisturbed!, () => {}),
      read(session, seen!, (event) => {
        if (event.type === 'permission_request') void session.allow(event.id).catch(() => {});
        left -= 1;
        if (left < 0) {
          left = next();
          socket()?.terminate();
        }
      }),
    ]);
    await session.send(seed % 2 ? 'count 60' : 'steps').result;
    await reading;
    expect(stitched(seen!)).toEqual(stitched(undisturbed!));
  });

  /** While a reader lags, deltas next to each other may come merged: the text counts, not how it was cut. */
  function stitched(events: SessionEvent[]): unknown[] {
    const all: any[] = [];
    for (const event of events) {
      const last = all.at(-1);
      const mergeable = event.type === 'assistant_message_delta' && last?.type === event.type && last.id === event.id
        && last.delta.delta_type === event.delta.delta_type && event.delta.delta_type === 'text';
      if (mergeable) last.delta.text += (event.delta as { text: string }).text;
      else all.push({ ...structuredClone(event) });
    }
    return all.map(({ seq: _, timestamp: __, ...rest }) => rest);
  }
});
