// One WebSocket that comes back: backoff, heartbeats, silence. It knows nothing of what messages mean.

/** What this package needs of a WebSocket: the browser's, Node's (from 22) and that of the package `ws` all fit. */
export interface WebSocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  /** Of the package `ws`, which also tells of pings: these come in the middle of a large message too. */
  on?(event: 'ping', listener: () => void): unknown;
}
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;

export interface BackoffOptions {
  /** Before the first retry, ms. Default 250. */
  initialMs?: number;
  /** At most, ms. Default 15 000. */
  maxMs?: number;
  /** Growth a try. Default 2. */
  factor?: number;
  /** Part of the delay that is random, 0 to 1, so that a thousand clients do not come back at once. Default 0.5. */
  jitter?: number;
}

/** The delay before retry number `attempt` (from 1), ms. */
export function backoffDelay(attempt: number, options: BackoffOptions = {}, random: () => number = Math.random): number {
  const { initialMs = 250, maxMs = 15_000, factor = 2, jitter = 0.5 } = options;
  // The exponent is capped: 2^1024 is Infinity, and Infinity × 0 is not a number.
  const delay = Math.min(maxMs, initialMs * factor ** Math.min(attempt - 1, 64));
  return Math.round(delay * (1 - jitter * random()));
}

/** How the connection stands. */
export type ConnectionState =
  | { status: 'idle' }
  | { status: 'connecting'; attempt: number }
  | { status: 'open' }
  /** Broken; the next try comes by itself after `retryInMs`. */
  | { status: 'waiting'; attempt: number; retryInMs: number; code?: number; reason?: string }
  /** For good: `close()` was called, or `maxAttempts` is used up. */
  | { status: 'closed'; code?: number; reason?: string };

export interface LinkOptions {
  url: string;
  protocols: () => string[];
  WebSocket: WebSocketConstructor;
  backoff: BackoffOptions;
  maxAttempts: number;
  connectTimeoutMs: number;
  heartbeatMs: number;
  /** The slowest rate at which an announced message may come, bytes a second. */
  minBytesPerSecond: number;
  random: () => number;
  /** What to send as a sign of life. */
  heartbeat: () => string;
  onState: (state: ConnectionState) => void;
  onOpen: () => void;
  onMessage: (data: string) => void;
  /** The socket is gone; `code` as the server gave it, 1006 where it did not. */
  onDrop: (code: number) => void;
}

const OPEN = 1;

export class Link {
  #heartbeatMs: number;
  readonly #options: LinkOptions;
  #state: ConnectionState = { status: 'idle' };
  #socket: WebSocketLike | undefined;
  #attempt = 0;
  #heardAt = 0;
  /** Bytes of the message that comes next, where the server has said so: it is silent until that is here. */
  #incoming = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Time between heartbeats, ms. The server says its own in `session_info`. */
  set heartbeatMs(value: number) {
    if (value === this.#heartbeatMs) return;
    this.#heartbeatMs = value;
    if (this.#state.status === 'open') this.#beat();
  }

  /** The next message has so many bytes. Browsers tell of a message when it is complete, so that looks like silence. */
  expect(bytes: number): void {
    this.#incoming = bytes;
  }

  /** Connects, or does nothing where it already does. A waiting retry is brought forward. */
  open(): void {
    const { status } = this.#state;
    if (status === 'connecting' || status === 'open') return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** Whether the text went to an open socket. */
  send(text: string): boolean {
    if (this.#state.status !== 'open' || this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  close(code = 1000, reason = ''): void {
    if (this.#state.status === 'closed') return;
    const socket = this.#socket;
    this.#release();
    closeQuietly(socket, code, reason);
    this.#become({ status: 'closed', code, ...(reason ? { reason } : {}) });
  }

  /** Gives up this socket and comes back; for a connection that is known to be dead. */
  drop(reason: string): void {
    const socket = this.#socket;
    if (!socket) return;
    this.#release();
    closeQuietly(socket, 4000, reason);
    this.#dropped(1006, reason);
  }

  #connect(): void {
    this.#attempt += 1;
    this.#become({ status: 'connecting', attempt: this.#attempt });
    let socket: WebSocketLike;
    try {
      socket = new this.#options.WebSocket(this.#options.url, this.#options.protocols());
    } catch (error) {
      // A URL or token that no WebSocket takes will not get better by waiting.
      this.#become({ status: 'closed', reason: error instanceof Error ? error.message : String(error) });
      return;
    }
    this.#socket = socket;
    this.#deadline = setTimeout(() => this.drop('no answer to the handshake'), this.#options.connectTimeoutMs);
    socket.onopen = () => {
      clearTimeout(this.#deadline);
      this.#heardAt = Date.now();
      this.#incoming = 0;
      this.#become({ status: 'open' });
      this.#beat();
      this.#options.onOpen();
    };
    socket.on?.('ping', () => {
      if (this.#socket === socket) this.#heardAt = Date.now();
    });
    socket.onmessage = (event: { data: unknown }) => {
      this.#heardAt = Date.now();
      this.#incoming = 0;
      // The tries count from anew only once the server has said something: one that accepts and closes must not be hammered.
      this.#attempt = 0;
      if (typeof event.data === 'string') this.#options.onMessage(event.data);
    };
    socket.onclose = (event: { code?: number; reason?: string }) => {
      this.#release();
      this.#dropped(event.code ?? 1006, event.reason ?? '');
    };
    socket.onerror = () => {}; // A close event follows.
  }

  /**
   * Says something every heartbeat, and gives up a socket that has been silent for two and a half, and for as long as the message that
   * was announced may take. A timer that comes late is no evidence: what came meanwhile (the page was frozen, the machine slept) is
   * told after it.
   */
  #beat(): void {
    clearTimeout(this.#pulse);
    const dueAt = Date.now() + this.#heartbeatMs;
    this.#pulse = setTimeout(() => {
      const now = Date.now();
      const onTime = now - dueAt < this.#heartbeatMs;
      if (onTime && now - this.#heardAt > this.#patienceMs()) {
        this.drop('no sign of life');
        return;
      }
      this.send(this.#options.heartbeat());
      this.#beat();
    }, this.#heartbeatMs);
  }

  #patienceMs(): number {
    return this.#heartbeatMs * 2.5 + (this.#incoming / this.#options.minBytesPerSecond) * 1000;
  }

  #dropped(code: number, reason: string): void {
    this.#options.onDrop(code);
    if (this.#state.status === 'closed') return; // `onDrop` may have closed it.
    const ended = { code, ...(reason ? { reason } : {}) };
    if (this.#attempt >= this.#options.maxAttempts) {
      this.#become({ status: 'closed', ...ended });
      return;
    }
    const attempt = this.#attempt + 1;
    const retryInMs = backoffDelay(attempt, this.#options.backoff, this.#options.random);
    this.#retry = setTimeout(() => this.#connect(), retryInMs);
    this.#become({ status: 'waiting', attempt, retryInMs, ...ended });
  }

  #release(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#deadline);
    clearTimeout(this.#pulse);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    // `ws` throws where an error has no listener.
    socket.onerror = () => {};
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

function closeQuietly(socket: WebSocketLike | undefined, code: number, reason: string): void {
  try {
    socket?.close(code, reason);
  } catch {
    // Already gone.
  }
}
