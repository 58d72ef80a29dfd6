// One WebSocket that comes back: backoff, heartbeats, silence. It knows nothing of what messages mean.
/** The delay before retry number `attempt` (from 1), ms. */
export function backoffDelay(attempt, options = {}, random = Math.random) {
    const { initialMs = 250, maxMs = 15_000, factor = 2, jitter = 0.5 } = options;
    // The exponent is capped: 2^1024 is Infinity, and Infinity × 0 is not a number.
    const delay = Math.min(maxMs, initialMs * factor ** Math.min(attempt - 1, 64));
    return Math.round(delay * (1 - jitter * random()));
}
const OPEN = 1;
export class Link {
    #heartbeatMs;
    #options;
    #state = { status: 'idle' };
    #socket;
    #attempt = 0;
    #heardAt = 0;
    /** Bytes of the message that comes next, where the server has said so: it is silent until that is here. */
    #incoming = 0;
    #retry;
    #deadline;
    #pulse;
    constructor(options) {
        this.#options = options;
        this.#heartbeatMs = options.heartbeatMs;
    }
    get state() {
        return this.#state;
    }
    /** Time between heartbeats, ms. The server says its own in `session_info`. */
    set heartbeatMs(value) {
        if (value === this.#heartbeatMs)
            return;
        this.#heartbeatMs = value;
        if (this.#state.status === 'open')
            this.#beat();
    }
    /** The next message has so many bytes. Browsers tell of a message when it is complete, so that looks like silence. */
    expect(bytes) {
        this.#incoming = bytes;
    }
    /** Connects, or does nothing where it already does. A waiting retry is brought forward. */
    open() {
        const { status } = this.#state;
        if (status === 'connecting' || status === 'open')
            return;
        clearTimeout(this.#retry);
        this.#connect();
    }
    /** Whether the text went to an open socket. */
    send(text) {
        if (this.#state.status !== 'open' || this.#socket?.readyState !== OPEN)
            return false;
        this.#socket.send(text);
        return true;
    }
    close(code = 1000, reason = '') {
        if (this.#state.status === 'closed')
            return;
        const socket = this.#socket;
        this.#release();
        closeQuietly(socket, code, reason);
        this.#become({ status: 'closed', code, ...(reason ? { reason } : {}) });
    }
    /** Gives up this socket and comes back; for a connection that is known to be dead. */
    drop(reason) {
        const socket = this.#socket;
        if (!socket)
            return;
        this.#release();
        closeQuietly(socket, 4000, reason);
        this.#dropped(1006, reason);
    }
    #connect() {
        this.#attempt += 1;
        this.#become({ status: 'connecting', attempt: this.#attempt });
        let socket;
        try {
            socket = new this.#options.WebSocket(this.#options.url, this.#options.protocols());
        }
        catch (error) {
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
            if (this.#socket === socket)
                this.#heardAt = Date.now();
        });
        socket.onmessage = (event) => {
            this.#heardAt = Date.now();
            this.#incoming = 0;
            // The tries count from anew only once the server has said something: one that accepts and closes must not be hammered.
            this.#attempt = 0;
            if (typeof event.data === 'string')
                this.#options.onMessage(event.data);
        };
        socket.onclose = (event) => {
            this.#release();
            this.#dropped(event.code ?? 1006, event.reason ?? '');
        };
        socket.onerror = () => { }; // A close event follows.
    }
    /**
     * Says something every heartbeat, and gives up a socket that has been silent for two and a half, and for as long as the message that
     * was announced may take. A timer that comes late is no evidence: what came meanwhile (the page was frozen, the machine slept) is
     * told after it.
     */
    #beat() {
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
    #patienceMs() {
        return this.#heartbeatMs * 2.5 + (this.#incoming / this.#options.minBytesPerSecond) * 1000;
    }
    #dropped(code, reason) {
        this.#options.onDrop(code);
        if (this.#state.status === 'closed')
            return; // `onDrop` may have closed it.
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
    #release() {
        clearTimeout(this.#retry);
        clearTimeout(this.#deadline);
        clearTimeout(this.#pulse);
        const socket = this.#socket;
        this.#socket = undefined;
        if (!socket)
            return;
        socket.onopen = null;
        socket.onmessage = null;
        socket.onclose = null;
        // `ws` throws where an error has no listener.
        socket.onerror = () => { };
    }
    #become(state) {
        this.#state = state;
        this.#options.onState(state);
    }
}
function closeQuietly(socket, code, reason) {
    try {
        socket?.close(code, reason);
    }
    catch {
        // Already gone.
    }
}
