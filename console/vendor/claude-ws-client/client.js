import { ClientClosedError, ClientError, ConnectionLostError, GatewayError, MessageTooBigError, TimeoutError, } from './errors.js';
import { uuid } from './ids.js';
import { tell } from './listeners.js';
import { backoffDelay, Link } from './link.js';
import { Requests } from './requests.js';
import { Session } from './session.js';
/** Refusals of a repeated attach that may pass. */
const TRANSIENT = ['capacity', 'rate_limited', 'agent_unavailable', 'internal'];
/** What a subprotocol, and so a token, may be made of (RFC 9110, token). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** One connection to a gateway, with any number of sessions on it. */
export class Client {
    maxBufferedEvents;
    #link;
    #requests = new Requests();
    #sessions = new Map();
    #listeners = new Set();
    #attached = new Set();
    /** The connection that a session's attach is under way on. */
    #attaching = new WeakMap();
    #retries = new Map();
    #requestTimeoutMs;
    #backoff;
    #generation = 0;
    #maxMessageBytes = Infinity;
    #held;
    constructor(options) {
        const WebSocket = options.WebSocket ?? globalThis.WebSocket;
        if (!WebSocket)
            throw new ClientError('no global WebSocket here: give one as the option `WebSocket` (package `ws`)');
        this.maxBufferedEvents = options.maxBufferedEvents ?? 10_000;
        this.#requestTimeoutMs = options.requestTimeoutMs ?? 60_000;
        this.#backoff = options.backoff ?? {};
        this.#link = new Link({
            url: options.url,
            protocols: () => protocols(typeof options.token === 'function' ? options.token() : options.token),
            WebSocket,
            backoff: this.#backoff,
            maxAttempts: options.maxAttempts ?? Infinity,
            connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
            heartbeatMs: options.heartbeatMs ?? 15_000,
            minBytesPerSecond: options.minBytesPerSecond ?? 16_384,
            random: options.random ?? Math.random,
            heartbeat: () => '{"type":"heartbeat"}',
            onState: (state) => this.#stateChanged(state),
            onOpen: () => this.#opened(),
            onMessage: (data) => {
                this.#announced(data);
                this.#take(data);
            },
            onDrop: (code) => this.#dropped(code),
        });
    }
    /** How the connection stands. */
    get connection() {
        return this.#link.state;
    }
    /** Calls `listener` at every change of `connection`. Returns the way to stop it. */
    onConnection(listener) {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }
    /** Connects now; also cuts a waiting retry short (call it on the browser's `online` event). Requests do it by themselves. */
    connect() {
        if (this.connection.status === 'closed')
            throw new ClientClosedError('this client was closed');
        this.#link.open();
    }
    /** Closes for good. Sessions live on at the gateway. */
    close() {
        this.#link.close();
    }
    // ---- sessions ---------------------------------------------------------------------------------------------------
    /** Opens a session without waiting: `session.ready` tells when it stands. See `start` and `attach`. */
    open(options = {}) {
        if (options.sessionId !== undefined && this.#sessions.has(options.sessionId)) {
            throw new ClientError(`session ${options.sessionId} is already open on this client`);
        }
        const session = new Session(this, options);
        this.#sessions.set(session.id, session);
        this.connect();
        this.#attach(session);
        return session;
    }
    /** Makes a session (or attaches to the one with this `sessionId`), and settles when it stands. */
    async start(options = {}) {
        const session = this.open(options);
        await session.ready;
        return session;
    }
    /** Attaches to a session that exists; fails with `unknown_session` rather than make one. */
    async attach(sessionId, options = {}) {
        await this.info(sessionId);
        return this.start({ ...options, sessionId });
    }
    /** Makes a session in ACP's form. Not repeated when the connection breaks: `start` is the safe way. */
    async newSession(cwd, mcpServers = [], options = {}) {
        const id = uuid();
        let session;
        await this.request({ type: 'new_session', cwd, mcp_servers: mcpServers }, {
            ...options, id, repeatable: false,
            match: (message) => {
                if (message.type !== 'new_session' || message.request_id !== id)
                    return undefined;
                session = this.#adopt(message, cwd, mcpServers);
                return message;
            },
        });
        await session.ready;
        return session;
    }
    /** One page of the caller's sessions, the most recently active first; `cursor` is the `next_cursor` of the page before. */
    listPage(query = {}, options = {}) {
        const id = uuid();
        return this.request({ type: 'session_list', ...query }, {
            ...options, id, repeatable: true,
            match: (message) => {
                if (message.type !== 'session_list' || message.request_id !== id)
                    return undefined;
                const { sessions, next_cursor, total } = message;
                // A gateway without pages gives all there are.
                return { sessions, total: total ?? sessions.length, ...(next_cursor ? { next_cursor } : {}) };
            },
        });
    }
    /** All of the caller's sessions that fit, page by page. Stop reading and no further page is asked for. */
    async *pages(query = {}, options = {}) {
        let page = await this.listPage(query, options);
        for (;;) {
            yield page;
            if (!page.next_cursor)
                return;
            page = await this.listPage({ ...query, cursor: page.next_cursor }, options);
        }
    }
    /** All of the caller's sessions, the most recently active first. Where there may be thousands, see `listPage` and `pages`. */
    async list(options = {}) {
        const sessions = new Map();
        for await (const page of this.pages({ limit: 1000 }, options)) {
            for (const summary of page.sessions)
                sessions.set(summary.session_id, summary);
        }
        return [...sessions.values()];
    }
    /** What a session is, without attaching to it. */
    info(sessionId, options = {}) {
        const id = uuid();
        return this.request({ type: 'session_info' }, {
            ...options, id, sessionId, repeatable: true, unattached: true,
            match: (message) => (message.type === 'session_info' && message.request_id === id ? message : undefined),
        });
    }
    /** Ends a session for good, attached or not. */
    async end(sessionId, reason, options = {}) {
        const open = this.#sessions.get(sessionId);
        if (open)
            return open.end(reason);
        // The event that answers goes to who is attached; this client is not, and has to ask.
        const done = new AbortController();
        const limits = { ...options, signal: options.signal ? AbortSignal.any([options.signal, done.signal]) : done.signal };
        const ended = this.request({ type: 'session_end', ...(reason ? { reason } : {}) }, {
            ...limits, sessionId, repeatable: true, unattached: true,
            match: (message) => (message.type === 'session_ended' ? true : undefined),
        });
        try {
            await Promise.race([ended, this.#gone(sessionId, limits)]);
        }
        finally {
            ended.catch(() => { });
            done.abort();
        }
    }
    /** Settles when the gateway says that the session is over. */
    async #gone(sessionId, options) {
        while (!options.signal.aborted) {
            try {
                if ((await this.info(sessionId, options)).status === 'ended')
                    return;
            }
            catch (error) {
                if (error instanceof GatewayError && error.code === 'session_ended')
                    return;
                throw error;
            }
            await new Promise((resolve) => setTimeout(resolve, 200));
        }
    }
    // ---- for sessions -----------------------------------------------------------------------------------------------
    /** @internal Sends a request as soon as that is possible, and settles with its answer. */
    request(payload, options) {
        const { sessionId, signal } = options;
        const id = options.id ?? uuid();
        if (signal?.aborted)
            return Promise.reject(signal.reason);
        if (this.#requests.has(id))
            return Promise.reject(new ClientError(`a message with the id ${id} is already on its way`));
        if (this.connection.status === 'closed')
            return Promise.reject(new ClientClosedError('this client was closed'));
        if (!options.repeatable && this.connection.status !== 'open' && payload.type !== 'new_session') {
            return Promise.reject(new ConnectionLostError(`not connected; \`${payload.type}\` is about this moment and does not wait`));
        }
        const message = { ...payload, id, ...(sessionId === undefined ? {} : { session_id: sessionId }) };
        const pending = this.#requests.add(message, options.repeatable, options.match, options.holds);
        const tooBig = this.#tooBig(pending);
        if (tooBig)
            this.#requests.fail(pending, tooBig);
        this.connect();
        const session = sessionId === undefined ? undefined : this.#sessions.get(sessionId);
        if (!session || options.unattached || this.#attached.has(session))
            this.#send(pending);
        return this.#limited(pending, options.timeoutMs ?? this.#requestTimeoutMs, signal);
    }
    /** @internal The session is over, on this side at least. */
    forget(session, error) {
        if (this.#sessions.get(session.id) !== session)
            return;
        this.#sessions.delete(session.id);
        this.#attached.delete(session);
        clearTimeout(this.#retries.get(session)?.timer);
        this.#retries.delete(session);
        this.#requests.failWhere(({ message }) => message.session_id === session.id, error);
    }
    // ---- the connection ---------------------------------------------------------------------------------------------
    #opened() {
        for (const pending of this.#requests.unsent(undefined, this.#generation))
            this.#send(pending);
        for (const session of this.#sessions.values())
            this.#attach(session);
        // What is about sessions that nobody here has open.
        for (const pending of this.#requests.detached((id) => this.#sessions.has(id)))
            this.#send(pending);
    }
    #dropped(code) {
        this.#release();
        this.#attached.clear();
        for (const [, retry] of this.#retries)
            clearTimeout(retry.timer);
        if (code === 1009)
            this.#dropBiggest();
        this.#requests.failWhere(({ repeatable, sentOn, message }) => !repeatable && !(sentOn === 0 && message.type === 'new_session'), new ConnectionLostError('the connection broke before the answer came; the request may have taken effect'));
    }
    #stateChanged(state) {
        // Before anybody hears of it: what a listener asks for now goes out on this connection, and must not go out again.
        if (state.status === 'open')
            this.#generation += 1;
        for (const session of [...this.#sessions.values()])
            session.connectionChanged(state);
        tell(this.#listeners, state);
        if (state.status !== 'closed')
            return;
        const error = new ClientClosedError(state.reason ? `the connection is closed: ${state.reason}` : 'the connection is closed');
        this.#requests.failWhere(() => true, error);
        for (const session of [...this.#sessions.values()])
            session.refused(error);
    }
    /** Attaches, where there is a connection; `#opened` does it for all. */
    #attach(session) {
        const generation = this.#generation;
        if (this.connection.status !== 'open' || this.#attached.has(session) || this.#attaching.get(session) === generation)
            return;
        this.#attaching.set(session, generation);
        const id = uuid();
        this.request(session.startPayload(), {
            id, sessionId: session.id, repeatable: false, unattached: true, timeoutMs: 0,
            match: (message) => {
                if (message.type !== 'session_info' || message.request_id !== id)
                    return undefined;
                this.#isAttached(session, message);
                return true;
            },
        }).catch((error) => {
            if (this.#sessions.get(session.id) !== session || generation !== this.#generation)
                return;
            this.#attaching.delete(session);
            if (error instanceof ConnectionLostError)
                return; // The next connection attaches again.
            const passes = error instanceof GatewayError && session.attached && TRANSIENT.includes(error.code);
            if (!passes)
                session.refused(error instanceof Error ? error : new ClientError(String(error)));
            else
                this.#attachLater(session);
        });
    }
    #attachLater(session) {
        const attempt = (this.#retries.get(session)?.attempt ?? 0) + 1;
        const timer = setTimeout(() => this.#attach(session), backoffDelay(attempt, this.#backoff));
        this.#retries.set(session, { attempt, timer });
    }
    #isAttached(session, info) {
        if (info.server?.heartbeat_ms > 0)
            this.#link.heartbeatMs = info.server.heartbeat_ms;
        if (info.server?.max_message_bytes > 0)
            this.#maxMessageBytes = info.server.max_message_bytes;
        this.#retries.delete(session);
        this.#attached.add(session);
        if (!session.attached)
            this.#hold();
        session.attachedBy(info);
        for (const pending of this.#requests.unsent(session.id, this.#generation))
            this.#send(pending);
    }
    #adopt(message, cwd, mcpServers) {
        const session = new Session(this, { sessionId: message.session_id, epoch: message.epoch, cwd, mcp_servers: mcpServers });
        this.#sessions.set(session.id, session);
        // The connection is attached already; the attach brings `session_info` and is answered before any later event.
        this.#attach(session);
        return session;
    }
    // ---- messages ---------------------------------------------------------------------------------------------------
    #send(pending) {
        if (pending.answer.settled || pending.sentOn === this.#generation)
            return;
        if (!this.#link.send(pending.frame))
            return;
        pending.sentOn = this.#generation;
        pending.refusal = undefined;
    }
    /** What a heartbeat says of the message behind it; looked for in short ones only. */
    #announced(data) {
        if (data.length > 1000 || !data.includes('"incoming_bytes"'))
            return;
        try {
            const message = JSON.parse(data);
            if (message.type === 'heartbeat' && message.incoming_bytes)
                this.#link.expect(message.incoming_bytes);
        }
        catch {
            // `#take` ignores it too.
        }
    }
    #take(data) {
        if (this.#held) {
            this.#held.push(data);
            return;
        }
        let message;
        try {
            message = JSON.parse(data);
        }
        catch {
            return; // The gateway sends JSON only.
        }
        if (typeof message !== 'object' || message === null || typeof message.type !== 'string')
            return;
        const session = message.session_id ? this.#sessions.get(message.session_id) : undefined;
        // An event before the attach is answered is for one that this session had on this connection before it was closed and
        // opened again. Its place in the log says nothing about what this one has seen; the replay brings it in order.
        if (session && message.seq !== undefined && !this.#attached.has(session))
            return;
        const attaches = message.type === 'session_info' && message.request_id !== undefined && this.#requests.has(message.request_id);
        const wasBehind = session?.caughtUp === false;
        // The state first, so that it is there when a promise settles. What answers an attach goes through `#isAttached`.
        if (session && !(attaches && !this.#attached.has(session)))
            session.receive(message);
        this.#requests.settle(message);
        if (session?.caughtUp && wasBehind)
            this.#requests.release(session.id);
        session?.ended(message);
    }
    /**
     * Lets what awaits the first `session_info` run before the events behind it, which may have come in the same packet:
     * whoever calls `events()` right after `start` misses none.
     */
    #hold() {
        if (this.#held)
            return;
        this.#held = [];
        setTimeout(() => this.#release(), 0);
    }
    #release() {
        const held = this.#held;
        this.#held = undefined;
        for (const data of held ?? [])
            this.#take(data);
    }
    #tooBig(pending) {
        // A UTF-16 unit is at most three bytes of UTF-8: only what might be too big is measured.
        if (pending.frame.length * 3 <= this.#maxMessageBytes)
            return undefined;
        const bytes = new TextEncoder().encode(pending.frame).length;
        if (bytes <= this.#maxMessageBytes)
            return undefined;
        return new MessageTooBigError(`the message has ${bytes} bytes, the gateway takes ${this.#maxMessageBytes}`);
    }
    /** The gateway closed with 1009: the biggest message must not be sent again and again. */
    #dropBiggest() {
        const [biggest] = this.#requests.sentOn(this.#generation).sort((a, b) => b.frame.length - a.frame.length);
        if (biggest)
            this.#requests.fail(biggest, new MessageTooBigError('the gateway refused the message as too big'));
    }
    #limited(pending, timeoutMs, signal) {
        const { promise } = pending.answer;
        const abort = () => this.#requests.fail(pending, signal.reason);
        const timer = timeoutMs > 0
            ? setTimeout(() => this.#requests.fail(pending, new TimeoutError(`no answer to \`${pending.message.type}\``)), timeoutMs)
            : undefined;
        signal?.addEventListener('abort', abort, { once: true });
        return promise.finally(() => {
            clearTimeout(timer);
            signal?.removeEventListener('abort', abort);
        });
    }
}
function protocols(token) {
    if (token === undefined || token === '')
        return ['claude-ws.v1'];
    if (!TOKEN.test(token))
        throw new ClientError('the token has characters that cannot be sent as a subprotocol');
    return ['claude-ws.v1', `bearer.${token}`];
}
