// A small gateway with a scripted agent: enough of the protocol to test the client against, and faults on demand.

import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';

type Message = Record<string, any> & { type: string };
type Step = Message | { ask: Message } | { client: Message } | { wait: string };

interface FakeSession {
  id: string;
  epoch: string;
  log: Message[];
  seen: Set<string>;
  queue: { id: string; content: unknown }[];
  running: string | undefined;
  prompts: Map<string, { request: Message; answer: (decision: string, input?: any) => void }>;
  clientTools: Map<string, (result: Message) => void>;
  interrupt: (() => void) | undefined;
  attached: Set<WebSocket>;
  turns: number;
  tasks: Set<string>;
  config: Message;
}

function taskFields(id: string, status: string) {
  return { task_id: id, kind: 'shell', status, background: true, description: 'a task' };
}

export class FakeGateway {
  readonly sessions = new Map<string, FakeSession>();
  readonly received: Message[] = [];
  readonly protocols: string[] = [];
  connections = 0;
  /** Cuts the connection (TCP, no close frame) after this many frames were sent on it; one number a connection. */
  cuts: number[] = [];
  /** Cuts it when this many frames of the client have come in, before they are dealt with. */
  cutsIn: number[] = [];
  /** Refuses upgrades while it is true. */
  down = false;
  /** Says nothing at all while it is true, heartbeats included. */
  mute = false;
  /** The close code for the next connection, at once. */
  closeWith: number | undefined;
  /** Answers attaches only once this name was released. */
  holdsInfo: string | undefined;
  /** Sends what follows `session_info` (the replay, then live events) only once this name was released. */
  holdsReplay: string | undefined;
  maxMessageBytes = 8 << 20;
  heartbeatMs = 15_000;
  /** Agent's script: what a message makes it do. */
  script: (content: unknown, turn: string) => Step[] = (content) => answer(`You said: ${String(content)}`);
  readonly #server: WebSocketServer;
  #waits = new Map<string, () => void>();
  readonly #arrivals = new Set<(value: unknown) => void>();
  readonly #ended = new Set<string>();
  #counter = 0;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket, request) => {
      this.connections += 1;
      this.protocols.push(request.headers['sec-websocket-protocol'] ?? '');
      if (this.closeWith !== undefined) {
        socket.close(this.closeWith);
        this.closeWith = undefined;
        return;
      }
      this.#serve(socket);
    });
  }

  static async start(options: { port?: number } = {}): Promise<FakeGateway> {
    let gateway: FakeGateway | undefined;
    const server = new WebSocketServer({
      host: '127.0.0.1', port: options.port ?? 0, path: '/ws',
      handleProtocols: (offered) => (offered.has('claude-ws.v1') ? 'claude-ws.v1' : false),
      verifyClient: () => !gateway?.down,
    });
    await new Promise((resolve) => server.once('listening', resolve));
    gateway = new FakeGateway(server);
    return gateway;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`;
  }

  /** Lets the agent go on past `{wait: name}`. */
  release(name: string): void {
    this.#waits.get(name)?.();
    this.#waits.set(name, () => {});
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#server.clients) socket.terminate();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Settles once `count` messages of this type have come in. */
  async got(type: string, count: number): Promise<void> {
    while (this.of(type).length < count) await new Promise((resolve) => this.#arrivals.add(resolve));
  }

  /** What the client sent of this type. */
  of(type: string): Message[] {
    return this.received.filter((message) => message.type === type);
  }

  #serve(socket: WebSocket): void {
    let out = this.cuts.shift() ?? Infinity;
    let inLeft = this.cutsIn.shift() ?? Infinity;
    const send = (message: Message) => {
      if (this.mute || socket.readyState !== 1) return;
      if (out <= 0) {
        socket.terminate();
        return;
      }
      out -= 1;
      socket.send(JSON.stringify(message));
    };
    (socket as any).say = send;
    socket.on('message', (data) => {
      inLeft -= 1;
      if (inLeft < 0) {
        socket.terminate();
        return;
      }
      const message = JSON.parse(String(data)) as Message;
      if (message.type !== 'heartbeat') this.received.push(message);
      for (const arrived of [...this.#arrivals]) arrived(undefined);
      this.#arrivals.clear();
      this.#handle(message, socket, send);
    });
    socket.on('close', () => {
      for (const session of this.sessions.values()) session.attached.delete(socket);
    });
  }

  #handle(message: Message, socket: WebSocket, send: (message: Message) => void): void {
    const reply = (type: string, fields: object) =>
      send({ type, id: `r${(this.#counter += 1)}`, session_id: message.session_id ?? '', request_id: message.id, ...fields });
    const refuse = (code: string) => reply('error', { code, message: code });
    if (message.type === 'heartbeat') return reply('heartbeat', { timestamp: Date.now() });
    if (message.type === 'session_list') {
      const all = [...this.sessions.values()].map((session) => ({ session_id: session.id }));
      const [from, limit] = [Number(message.cursor ?? 0), message.limit ?? 100];
      const next = from + limit < all.length ? { next_cursor: String(from + limit) } : {};
      return reply('session_list', { sessions: all.slice(from, from + limit), total: all.length, ...next });
    }
    if (message.type === 'new_session') {
      const session = this.#create(`made-${(this.#counter += 1)}`, message);
      session.attached.add(socket);
      return reply('new_session', { session_id: session.id, cwd: message.cwd, epoch: session.epoch, created_at: 1, permission_mode: 'manual' });
    }
    let session = this.sessions.get(message.session_id);
    if (message.type === 'session_start') return void this.#attach(message, socket, send);
    if (!session) return refuse(this.#ended.has(message.session_id) ? 'session_ended' : 'unknown_session');
    const event = (type: string, fields: object) => this.event(session!, type, { request_id: message.id, ...fields });
    switch (message.type) {
      case 'session_info':
        return reply('session_info', this.#info(session, {}));
      case 'session_end':
        event('session_ended', { reason: 'client' });
        this.sessions.delete(session.id);
        this.#ended.add(session.id);
        return;
      case 'user_message':
        if (session.seen.has(message.id)) return reply('warning', { code: 'duplicate_message', message: 'seen before' });
        session.seen.add(message.id);
        event('user_message', { content: message.content });
        session.queue.push({ id: message.id, content: message.content });
        void this.#run(session);
        return;
      case 'permission_response': {
        const prompt = session.prompts.get(message.request_id);
        if (!prompt) return refuse('unknown_request');
        session.prompts.delete(message.request_id);
        event('permission_resolved', { permission_id: message.request_id, decision: message.decision, reason: 'client' });
        prompt.answer(message.decision, message.updated_input);
        return;
      }
      case 'tool_result': {
        const give = session.clientTools.get(message.tool_use_id);
        if (!give) return refuse('unknown_request');
        session.clientTools.delete(message.tool_use_id);
        give(message);
        return;
      }
      case 'interrupt':
        if (message.tasks) session.tasks.clear();
        if (!session.running) return reply('interrupted', { outcome: 'nothing_running' });
        event('interrupted', { outcome: 'interrupted' });
        session.interrupt?.();
        return;
      case 'cancel': {
        const at = session.queue.findIndex((queued) => queued.id === message.target_id);
        if (at < 0) return refuse('unknown_request');
        session.queue.splice(at, 1);
        event('cancelled', { target_id: message.target_id });
        this.#result(session, message.target_id, 'cancelled');
        return;
      }
      case 'task_stop': {
        if (!session.tasks.delete(message.task_id)) return refuse('unknown_request');
        event('task_update', taskFields(message.task_id, 'stopped'));
        return;
      }
      case 'task_output':
        if (!session.tasks.has(message.task_id)) return refuse('unknown_request');
        return reply('task_output', { task_id: message.task_id, output: 'so far', total_bytes: 6, truncated: false });
      case 'result_read': {
        const event = session.log.find(({ seq }) => seq === message.seq);
        if (event?.type !== 'tool_result' || event.tool_use_id !== message.tool_use_id) return refuse('unknown_request');
        const whole = String(event.content);
        const [from, to] = [message.offset ?? 0, (message.offset ?? 0) + (message.max_bytes ?? 65_536)];
        return reply('result_read', {
          tool_use_id: message.tool_use_id, offset: from, content: whole.slice(from, to), total_bytes: whole.length,
          ...(to < whole.length ? { next_offset: to } : {}),
        });
      }
      case 'background':
        if (!session.running) return refuse('unknown_request');
        session.tasks.add('task-1');
        event('task_update', taskFields('task-1', 'running'));
        return;
      case 'resume':
        return reply('warning', { code: 'nothing_to_resume', message: 'nothing' });
      case 'config_update':
        Object.assign(session.config, message.config);
        event('config_updated', { config: session.config });
        return;
      case 'config_query':
        return reply('config_response', { config: session.config });
      default:
        return refuse('unknown_type');
    }
  }

  #create(id: string, config: Message): FakeSession {
    const session: FakeSession = {
      id, epoch: `e${(this.#counter += 1)}`, log: [], seen: new Set(), queue: [], running: undefined, prompts: new Map(),
      clientTools: new Map(), interrupt: undefined, attached: new Set(), turns: 0, tasks: new Set(), config: { ...config },
    };
    this.sessions.set(id, session);
    return session;
  }

  #info(session: FakeSession, fields: object): Message {
    return {
      type: 'session_info', status: 'active', state: session.running ? 'thinking' : 'idle', created: false, cwd: '/w',
      permission_mode: 'manual', metadata: {}, num_turns: session.turns, total_cost_usd: session.turns * 0.5, created_at: 1,
      epoch: session.epoch, first_seq: session.log[0]?.seq ?? 1, last_seq: session.log.at(-1)?.seq ?? 0, replay: 'none',
      pending_permissions: [...session.prompts.values()].map(({ request }) => request),
      tasks: [...session.tasks].map((task) => taskFields(task, 'running')),
      queued: session.queue.map(({ id }) => id), agent: { state: 'running' },
      server: { name: 'fake', version: '0', protocol: 1, heartbeat_ms: this.heartbeatMs, max_message_bytes: this.maxMessageBytes },
      ...fields,
    };
  }

  async #attach(message: Message, socket: WebSocket, send: (message: Message) => void): Promise<void> {
    if (this.holdsInfo !== undefined) await this.#released(this.holdsInfo);
    const known = this.sessions.get(message.session_id);
    const session = known ?? this.#create(message.session_id, message);
    const last = session.log.at(-1)?.seq ?? 0;
    const reset = message.last_seq !== undefined
      && ((message.epoch !== undefined && message.epoch !== session.epoch) || message.last_seq > last);
    const from = reset ? 0 : (message.last_seq ?? last);
    const replay = message.last_seq === undefined ? 'none' : reset ? 'reset' : from + 2 < (session.log[0]?.seq ?? 0) ? 'gap' : 'ok';
    send(this.#info(session, { id: `i${(this.#counter += 1)}`, session_id: session.id, request_id: message.id, created: !known, replay }) as Message);
    if (this.holdsReplay !== undefined) await this.#released(this.holdsReplay);
    for (const event of session.log) if (event.seq > from) send(event);
    if (socket.readyState === 1) session.attached.add(socket);
  }

  /** Appends an event and sends it to who is attached. */
  event(session: FakeSession, type: string, fields: object): Message {
    const seq = (session.log.at(-1)?.seq ?? 0) + (session.log.length % 3 === 2 ? 2 : 1);
    const message = { type, id: `m${seq}`, session_id: session.id, seq, timestamp: 1_000 + seq, ...fields } as Message;
    session.log.push(message);
    for (const socket of session.attached) (socket as any).say(message);
    return message;
  }

  #result(session: FakeSession, id: string, subtype: string): void {
    this.event(session, 'result', {
      request_id: id, subtype, duration_ms: 5, duration_api_ms: 3, num_turns: 1, is_error: false,
      ...(subtype === 'success' ? { total_cost_usd: 0.5, usage: { input_tokens: 10, output_tokens: 2 } } : {}),
    });
  }

  async #run(session: FakeSession): Promise<void> {
    if (session.running !== undefined) return;
    for (let next = session.queue.shift(); next; next = session.queue.shift()) {
      const turn = next.id;
      session.running = turn;
      const stopped = new Promise<'stop'>((resolve) => (session.interrupt = () => resolve('stop')));
      this.event(session, 'status_update', { request_id: turn, status: 'thinking' });
      let subtype = 'success';
      for (const step of this.script(next.content, turn)) {
        if ((await Promise.race([this.#step(session, turn, step), stopped])) === 'stop') {
          subtype = 'interrupted';
          break;
        }
      }
      for (const [id, { request }] of session.prompts) {
        session.prompts.delete(id);
        this.event(session, 'permission_resolved', { permission_id: request.id, decision: 'cancelled', reason: 'interrupt' });
      }
      session.clientTools.clear();
      session.turns += 1;
      session.running = undefined;
      this.#result(session, turn, subtype);
    }
    this.event(session, 'status_update', { status: 'idle' });
  }

  async #released(name: string): Promise<void> {
    if (this.#waits.has(name)) return;
    await new Promise<void>((resolve) => this.#waits.set(name, resolve));
  }

  async #step(session: FakeSession, turn: string, step: Step): Promise<void> {
    if ('wait' in step) {
      await this.#released(step.wait);
    } else if ('ask' in step) {
      await new Promise<void>((resolve) => {
        const request = this.event(session, 'permission_request', { request_id: turn, ...step.ask });
        session.prompts.set(request['id'], {
          request,
          answer: (decision, input) => {
            this.event(session, 'tool_result', {
              tool_use_id: request['tool_use_id'], request_id: turn,
              content: decision === 'deny' ? 'denied' : `ran ${JSON.stringify(input ?? request['tool_input'])}`, is_error: decision === 'deny',
            });
            resolve();
          },
        });
      });
    } else if ('client' in step) {
      await new Promise<void>((resolve) => {
        const call = this.event(session, 'tool_use', { request_id: turn, executor: 'client', ...step.client });
        session.clientTools.set(call['tool_use_id'], (result) => {
          this.event(session, 'tool_result', {
            tool_use_id: call['tool_use_id'], request_id: turn, content: String(result['content']), is_error: result['is_error'] ?? false,
          });
          resolve();
        });
      });
    } else {
      const { type, ...fields } = step as Message;
      this.event(session, type, { request_id: turn, ...fields });
      await Promise.resolve();
    }
  }
}

/** Steps of one streamed message. */
export function answer(text: string, id = `a${Math.random()}`, parent?: string): Message[] {
  const more = parent ? { parent_tool_use_id: parent } : {};
  return [
    { type: 'assistant_message_start', id, model: 'fake', ...more },
    ...(text.match(/.{1,4}/gsu) ?? []).map((piece) => ({
      type: 'assistant_message_delta', id, delta: { delta_type: 'text', text: piece }, ...more,
    })),
    { type: 'assistant_message_complete', id, stop_reason: 'end_turn', ...more },
  ];
}

/** A turn with thinking, text, a tool that a person is asked about, and a closing text. */
export function toolTurn(): Step[] {
  return [
    { type: 'assistant_message_start', id: 'am1', model: 'fake' },
    { type: 'assistant_message_delta', id: 'am1', delta: { delta_type: 'thinking', thinking: 'Let me ' } },
    { type: 'assistant_message_delta', id: 'am1', delta: { delta_type: 'thinking', thinking: 'see.' } },
    { type: 'assistant_message_delta', id: 'am1', delta: { delta_type: 'text', text: 'I shall touch it.' } },
    { type: 'assistant_message_delta', id: 'am1', delta: { delta_type: 'tool_input', tool_use_id: 't1', tool_name: 'Bash', partial_json: '{"command":' } },
    { type: 'assistant_message_delta', id: 'am1', delta: { delta_type: 'tool_input', tool_use_id: 't1', tool_name: 'Bash', partial_json: '"touch x"}' } },
    { type: 'assistant_message_delta', id: 'am1', delta: { delta_type: 'tool_use', tool_use_id: 't1', tool_name: 'Bash', tool_input: { command: 'touch x' } } },
    { type: 'tool_use', tool_use_id: 't1', tool_name: 'Bash', tool_input: { command: 'touch x' }, executor: 'agent' },
    { type: 'status_update', status: 'waiting_permission' },
    {
      ask: {
        type: 'permission_request', tool_name: 'Bash', tool_input: { command: 'touch x' }, tool_use_id: 't1',
        context: { description: 'Touches x', risk_level: 'medium', suggestions: [] },
      },
    },
    { type: 'assistant_message_complete', id: 'am1', stop_reason: 'tool_use' },
    ...answer('All done.', 'am2'),
  ];
}
