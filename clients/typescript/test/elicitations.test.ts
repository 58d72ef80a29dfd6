import { describe, expect, it } from 'vitest';
import { formOf, initialState, reduce } from '../src/index.js';
import type { ConversationState, ElicitationRequest, ServerMessage } from '../src/index.js';

let seq = 0;

function event(type: string, fields: object = {}): ServerMessage {
  seq += 1;
  return { type, id: `m${seq}`, session_id: 's', seq, timestamp: seq, ...fields } as unknown as ServerMessage;
}

function info(fields: object): ServerMessage {
  return {
    type: 'session_info', id: 'i', session_id: 's', status: 'active', state: 'waiting_permission', created: false, cwd: '/w',
    permission_mode: 'manual', metadata: {}, num_turns: 0, total_cost_usd: 0, created_at: 1, epoch: 'e', first_seq: 1,
    last_seq: seq, replay: 'none', pending_permissions: [], queued: [], agent: { state: 'running' },
    server: { name: 'x', version: '0', protocol: 1, heartbeat_ms: 1, max_message_bytes: 1 }, ...fields,
  } as unknown as ServerMessage;
}

function play(events: ServerMessage[], from: ConversationState = initialState('s')): ConversationState {
  return events.reduce(reduce, from);
}

const asks = (fields: object = {}) =>
  event('elicitation_request', { server: 'shop', message: '?', mode: 'form', schema: {}, ...fields }) as ElicitationRequest;
const open = (state: ConversationState) => state.pendingElicitations.map(({ id }) => id);

describe('what MCP servers ask', () => {
  it('is open until it is resolved, by whomever', () => {
    const [one, two] = [asks(), asks()];
    const state = play([one, two]);
    expect(open(state)).toEqual([one.id, two.id]);
    const later = play([event('elicitation_resolved', { elicitation_id: one.id, action: 'accept', reason: 'client' })], state);
    expect(open(later)).toEqual([two.id]);
    expect(later.prompts).toEqual([]);
    expect(open(play([event('session_ended', { reason: 'client' })], later))).toEqual([]);
  });

  it('is taken from session_info, also from one of a gateway that does not know it', () => {
    const one = asks();
    expect(open(play([info({ pending_elicitations: [one] })]))).toEqual([one.id]);
    expect(open(play([one, info({ pending_elicitations: [] })]))).toEqual([]);
    expect(open(play([info({})]))).toEqual([]);
  });
});

describe('formOf', () => {
  it('reads every kind of field that MCP has', () => {
    const fields = formOf(asks({ schema: { type: 'object', required: ['name', 'fish'], properties: {
      name: { type: 'string', title: 'Name', description: 'Yours', minLength: 2, maxLength: 9 },
      mail: { type: 'string', format: 'email' },
      age: { type: 'integer', minimum: 1, maximum: 100, default: 42 },
      share: { type: 'number' },
      ok: { type: 'boolean', default: true },
      pet: { type: 'string', enum: ['p1', 'p2'], enumNames: ['Cat', 'Dog'], default: 'p2' },
      hero: { type: 'string', oneOf: [{ const: 'h1', title: 'One' }, { const: 'h2' }] },
      plain: { type: 'array', items: { type: 'string', enum: ['a', 'b'] }, minItems: 1 },
      fish: { type: 'array', items: { anyOf: [{ const: 'f1', title: 'Tuna' }] }, default: ['f1'] },
    } } }));
    expect(fields.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      'name text', 'mail text', 'age integer', 'share number', 'ok boolean', 'pet choice', 'hero choice', 'plain choices', 'fish choices',
    ]);
    expect(fields.filter(({ required }) => required).map(({ name }) => name)).toEqual(['name', 'fish']);
    expect(fields[0]).toMatchObject({ title: 'Name', description: 'Yours', minimum: 2, maximum: 9, default: undefined });
    expect(fields[1]).toMatchObject({ title: 'mail', format: 'email', options: [] });
    expect(fields[2]).toMatchObject({ minimum: 1, maximum: 100, default: 42 });
    expect(fields[5]).toMatchObject({ default: 'p2', options: [{ value: 'p1', label: 'Cat' }, { value: 'p2', label: 'Dog' }] });
    expect(fields[6]?.options).toEqual([{ value: 'h1', label: 'One' }, { value: 'h2', label: 'h2' }]);
    expect(fields[8]).toMatchObject({ default: ['f1'], options: [{ value: 'f1', label: 'Tuna' }] });
  });

  it('takes what is no form for one without fields', () => {
    for (const schema of [undefined, {}, { properties: [] }, { properties: null }]) expect(formOf(asks({ schema }))).toEqual([]);
    expect(formOf(asks({ schema: { properties: { x: 7 } } }))).toMatchObject([{ name: 'x', kind: 'text' }]);
  });
});
