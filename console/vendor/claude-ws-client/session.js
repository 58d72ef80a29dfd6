import { deferred } from './deferred.js';
import { GatewayError, MessageLostError, SessionEndedError, SessionLostError } from './errors.js';
import { uuid } from './ids.js';
import { tell } from './listeners.js';
import { EventQueue } from './queue.js';
import { initialState, reduce } from './state.js';
import { ToolRunner } from './tools.js';
/** A Claude Code session. Made by `Client.open`, `start`, `attach` and `newSession`. */
export class Session {
    id;
    /** Settles with the first `session_info`: the session exists and this client is attached. */
    ready;
    #host;
    #options;
    #tools;
    #ready = deferred();
    #turns = new Map();
    #queues = new Set();
    #listeners = new Set();
    #tracks;
    #maxContentBytes;
    #from;
    #epoch;
    #info;
    #state;
    #caughtUpAt = Infinity;
    /** Turns that had been accepted when the gateway said that it had lost something, and that its replay has not shown yet. */
    #doubted = new Set();
    #hasRun = false;
    #over;
    /** @internal */
    constructor(host, options) {
        const { sessionId, lastSeq = 0, epoch, maxContentBytes, tools, trackState = true, ...config } = options;
        this.#host = host;
        this.id = sessionId ?? uuid();
        this.#options = config;
        this.#from = lastSeq === 'live' ? undefined : lastSeq;
        this.#epoch = epoch;
        this.#maxContentBytes = maxContentBytes;
        this.#tracks = trackState;
        this.#state = initialState(this.id, host.connection);
        this.ready = this.#ready.promise;
        this.#tools = new ToolRunner(tools ?? {}, (id, content, isError) => this.toolResult(id, content, isError));
    }
    /** The newest `session_info`. */
    get info() {
        return this.#info;
    }
    /** The conversation, as the reducer makes it of the events; a new object after each change. */
    get state() {
        return this.#state;
    }
    /** The last event seen; with `epoch`, what another client needs to go on exactly here. */
    get lastSeq() {
        return this.#from ?? 0;
    }
    get epoch() {
        return this.#epoch;
    }
    /** Whether the replay is through: what comes now is live. */
    get caughtUp() {
        return this.lastSeq >= this.#caughtUpAt;
    }
    // ---- reading ----------------------------------------------------------------------------------------------------
    /**
     * The session's events from now on, each once and in order, across reconnects. Ends after `session_ended` or `close()`.
     *
     * Right after `await client.start(…)`, before anything else is awaited, it still gets the first event. A reader that
     * leaves more than `limit` (default `maxBufferedEvents`) unread gets an `EventOverflowError`.
     */
    events(limit = this.#host.maxBufferedEvents) {
        const queue = new EventQueue(limit, (left) => this.#queues.delete(left));
        if (this.#over)
            queue.end(this.#over instanceof SessionEndedError ? undefined : this.#over);
        else
            this.#queues.add(queue);
        return queue;
    }
    /** Calls `listener` after each change of `state`; `input` is what changed it. Returns the way to stop it. */
    subscribe(listener) {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }
    // ---- the conversation -------------------------------------------------------------------------------------------
    /**
     * Sends a message; it is queued behind those that run. The id makes it safe to repeat, so it waits for a connection
     * and is said again after a reconnect until the gateway has it. It is never run twice.
     */
    send(content, options = {}) {
        const id = options.id ?? uuid();
        const { parentToolUseId } = options;
        const turn = this.#turn(id, () => this.#request({ type: 'user_message', content, ...(parentToolUseId ? { parent_tool_use_id: parentToolUseId } : {}) }, {
            id, repeatable: true, timeoutMs: 0,
            match: (message) => message.request_id === id
                && (message.type === 'user_message' || message.type === 'result' || isWarning(message, 'duplicate_message'))
                || undefined,
        }));
        this.#reduce({ type: '@sent', id, content });
        return turn;
    }
    /** Goes on with a turn that was interrupted or broke. Fails with code `nothing_to_resume` where there is none. */
    resume() {
        const id = uuid();
        return this.#turn(id, () => this.#request({ type: 'resume' }, {
            id, repeatable: false, timeoutMs: 0,
            match: (message) => {
                if (message.request_id !== id)
                    return undefined;
                return message.type === 'warning' && message.code === 'nothing_to_resume' ? new GatewayError(message) : true;
            },
        }));
    }
    /**
     * Stops the running turn; with `tasks` what the agent does in the background as well. Not repeated after a reconnect: by then
     * it might hit another turn.
     */
    interrupt(reason, options = {}) {
        return this.#request({ type: 'interrupt', ...(reason ? { reason } : {}), ...(options.tasks ? { tasks: true } : {}) }, {
            repeatable: false,
            match: (message) => (message.type === 'interrupted' ? message : undefined),
        });
    }
    /** Takes back a queued message, the running one, or an open prompt, by its id. */
    async cancel(targetId, options = {}) {
        await this.#request({ type: 'cancel', target_id: targetId }, {
            ...options, repeatable: true,
            match: (message) => message.type === 'cancelled' && message.target_id === targetId
                || message.type === 'permission_resolved' && message.permission_id === targetId
                || message.type === 'elicitation_resolved' && message.elicitation_id === targetId
                || undefined,
        });
    }
    // ---- work beside turns ------------------------------------------------------------------------------------------
    /** Stops a task. Fails with code `unknown_request` where it does not run. */
    async stopTask(taskId, options = {}) {
        await this.#request({ type: 'task_stop', task_id: taskId }, {
            ...options, repeatable: true,
            match: (message) => message.type === 'task_update' && message.task_id === taskId && message.status !== 'running' || undefined,
        });
    }
    /** What a task has written so far: its last 8 KiB. */
    taskOutput(taskId, options = {}) {
        const id = uuid();
        return this.#request({ type: 'task_output', task_id: taskId }, {
            ...options, id, repeatable: true,
            match: (message) => (message.type === 'task_output' && message.request_id === id ? message : undefined),
        });
    }
    /**
     * A page of a tool's result, by its call and the `seq` of its `tool_result` event (in `state`: `tools[id].result.truncated.seq`). Begins at
     * byte `offset` (default 0) and has at most `maxBytes` (default 65,536, at most 1 MiB); goes on at `next_offset`, where there is one.
     */
    readResult(toolUseId, seq, options = {}) {
        const id = uuid();
        const { offset, maxBytes, ...rest } = options;
        return this.#request({
            type: 'result_read', tool_use_id: toolUseId, seq,
            ...(offset === undefined ? {} : { offset }), ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }),
        }, {
            ...rest, id, repeatable: true,
            match: (message) => (message.type === 'result_read' && message.request_id === id ? message : undefined),
        });
    }
    /** Lets the running tool (or all that run) go on in the background, so that the turn goes on without it. */
    async background(toolUseId, options = {}) {
        const id = uuid();
        await this.#request({ type: 'background', ...(toolUseId === undefined ? {} : { tool_use_id: toolUseId }) }, {
            ...options, id, repeatable: false,
            match: (message) => message.request_id === id
                || message.type === 'task_update' && message.background && (toolUseId === undefined || message.tool_use_id === toolUseId)
                || undefined,
        });
    }
    // ---- prompts ----------------------------------------------------------------------------------------------------
    /**
     * Answers a prompt by its id. Settles with how the prompt ended, which may be somebody else's answer: look at
     * `request_id` and `decision`. Waits for a connection and is repeated; the first answer wins.
     */
    respond(permissionId, decision, more = {}) {
        return this.#request({
            type: 'permission_response', request_id: permissionId, decision,
            ...(more.explanation === undefined ? {} : { explanation: more.explanation }),
            ...(more.updatedInput === undefined ? {} : { updated_input: more.updatedInput }),
            ...(more.updatedPermissions === undefined ? {} : { updated_permissions: more.updatedPermissions }),
            ...(more.interrupt === undefined ? {} : { interrupt: more.interrupt }),
        }, {
            repeatable: true, timeoutMs: 0,
            match: (message) => message.type === 'permission_resolved' && message.permission_id === permissionId ? message : undefined,
        });
    }
    allow(permissionId, updatedInput) {
        return this.respond(permissionId, 'allow', updatedInput ? { updatedInput } : {});
    }
    /** Allows this call and its like for the rest of the session (rule 9 of the protocol). */
    allowAlways(permissionId) {
        return this.respond(permissionId, 'allow_always');
    }
    /** Denies; the model reads `explanation`. */
    deny(permissionId, explanation) {
        return this.respond(permissionId, 'deny', explanation === undefined ? {} : { explanation });
    }
    /**
     * Answers an `AskUserQuestion` prompt: question text → label, or labels where several may be chosen, or free text.
     */
    answer(prompt, answers) {
        const joined = Object.entries(answers).map(([question, answer]) => [question, Array.isArray(answer) ? answer.join(', ') : answer]);
        return this.allow(prompt.id, { ...prompt.tool_input, answers: Object.fromEntries(joined) });
    }
    /**
     * Answers what an MCP server asks (`state.pendingElicitations`) by its id; `content` goes with `accept` of a form. Settles with how it
     * ended, which may be somebody else's answer. What does not fit the form is refused (`invalid_message`), and the form stays open.
     */
    respondElicitation(elicitationId, action, content) {
        return this.#request({
            type: 'elicitation_response', request_id: elicitationId, action, ...(content === undefined ? {} : { content }),
        }, {
            repeatable: true, timeoutMs: 0,
            match: (message) => message.type === 'elicitation_resolved' && message.elicitation_id === elicitationId ? message : undefined,
        });
    }
    /** The result of a client tool, for those that are not run by a registered handler. */
    async toolResult(toolUseId, content, isError = false) {
        await this.#request({ type: 'tool_result', tool_use_id: toolUseId, content, is_error: isError }, {
            repeatable: true, timeoutMs: 0,
            match: (message) => message.type === 'tool_result' && message.tool_use_id === toolUseId
                || message.type === 'permission_resolved' && this.#promptOf(message.permission_id) === toolUseId
                || undefined,
        });
    }
    /** Registers what runs a client tool of this session; for one that was attached to. */
    onTool(name, handler) {
        this.#tools.register(name, handler);
    }
    // ---- settings ---------------------------------------------------------------------------------------------------
    /** Changes model, mode and limits while the session runs. */
    configUpdate(config, options = {}) {
        return this.#config({ type: 'config_update', config }, 'config_updated', options);
    }
    /** Changes permission rules. */
    permissionUpdate(updates, options = {}) {
        return this.#config({ type: 'permission_update', updates }, 'config_updated', options);
    }
    config(options = {}) {
        return this.#config({ type: 'config_query' }, 'config_response', options);
    }
    /** A fresh `session_info`. */
    refresh(options = {}) {
        const id = uuid();
        return this.#request({ type: 'session_info' }, {
            ...options, id, repeatable: true,
            match: (message) => (message.type === 'session_info' && message.request_id === id ? message : undefined),
        });
    }
    /** Ends the session for good: its agent is stopped, nobody can attach any more. */
    async end(reason) {
        if (this.#over)
            return;
        await this.#request({ type: 'session_end', ...(reason ? { reason } : {}) }, {
            repeatable: true,
            match: (message) => message.type === 'session_ended' || undefined,
        });
    }
    /**
     * Stops following the session on this side; the session lives on. The protocol has no detach: the gateway goes on
     * sending its events over this connection, and they are ignored.
     */
    close() {
        this.#finish(new SessionEndedError('closed'));
    }
    // ---- for the client ---------------------------------------------------------------------------------------------
    /** @internal What attaches, or attaches again exactly where the events broke off. */
    startPayload() {
        return {
            type: 'session_start',
            ...this.#options,
            ...(this.#from === undefined ? {} : { last_seq: this.#from }),
            ...(this.#epoch === undefined ? {} : { epoch: this.#epoch }),
            ...(this.#maxContentBytes === undefined ? {} : { max_content_bytes: this.#maxContentBytes }),
        };
    }
    /** @internal */
    get attached() {
        return this.#ready.settled;
    }
    /** @internal `session_info` that answers an attach. */
    attachedBy(info) {
        if (info.created && this.#hasRun) {
            this.#fail(new SessionLostError('the gateway no longer knew the session and made it anew; its conversation is gone'));
            return;
        }
        const moved = this.#epoch !== undefined && this.#epoch !== info.epoch;
        if (info.replay === 'reset' || moved || info.created)
            this.#from = this.#from === undefined ? undefined : 0;
        this.#from ??= info.last_seq; // Live only: later reconnects go on from here.
        this.#epoch = info.epoch;
        this.#caughtUpAt = info.last_seq;
        this.#doubt(info);
        this.#hasRun ||= info.num_turns > 0;
        this.receive(info);
        this.#ready.resolve(info);
        this.#settleLost();
        this.#runTools();
    }
    /** @internal Refused for good. */
    refused(error) {
        this.#fail(error);
    }
    /** @internal A message of this session. Returns false for an event that was seen before. */
    receive(message) {
        if (this.#over)
            return false;
        if (message.seq === undefined) {
            if (message.type === 'session_info')
                this.#info = message;
            this.#reduce(message);
            return true;
        }
        if (message.seq <= this.lastSeq)
            return false;
        this.#from = message.seq;
        if (message.request_id !== undefined)
            this.#doubted.delete(message.request_id);
        if (message.type === 'user_message')
            this.#hasRun = true;
        if (message.type === 'config_updated')
            this.#follow(message.config);
        this.#tools.see(message);
        this.#reduce(message);
        for (const queue of [...this.#queues])
            queue.push(message);
        if (message.type === 'result' && message.request_id !== undefined) {
            const turn = this.#turns.get(message.request_id);
            this.#turns.delete(message.request_id);
            turn?.accepted.resolve();
            turn?.result.resolve(message);
        }
        this.#settleLost();
        this.#runTools();
        return true;
    }
    /** @internal After the requests had their look at it. */
    ended(message) {
        if (message.type === 'session_ended')
            this.#finish(new SessionEndedError(message.reason));
    }
    /** @internal */
    connectionChanged(connection) {
        this.#reduce({ type: '@connection', connection });
    }
    // ---- inside -----------------------------------------------------------------------------------------------------
    #request(payload, options) {
        if (this.#over)
            return Promise.reject(this.#over);
        return this.#host.request(payload, {
            ...options, sessionId: this.id,
            // Replies overtake a replay: what was said again after a reconnect may be refused although the first time counted.
            holds: ({ code }) => code === 'unknown_request' && !this.caughtUp,
        });
    }
    #config(payload, reply, options) {
        const id = uuid();
        return this.#request(payload, {
            ...options, id, repeatable: true,
            match: (message) => (message.type === reply && message.request_id === id ? message.config : undefined),
        });
    }
    #turn(id, request) {
        const turn = { accepted: deferred(), result: deferred() };
        this.#turns.set(id, turn);
        request().then(() => turn.accepted.resolve(), (error) => {
            this.#turns.delete(id);
            turn.accepted.reject(error);
            turn.result.reject(error);
            this.#reduce({ type: '@refused', id, error: error instanceof Error ? error.message : String(error) });
        });
        return { id, accepted: turn.accepted.promise, result: turn.result.promise };
    }
    /** After a `reset` of the same session: what was accepted may be lost. Where the log's beginning is gone, only an idle session tells. */
    #doubt(info) {
        this.#doubted.clear();
        if (info.replay !== 'reset' || info.created || (info.first_seq > 1 && info.state !== 'idle'))
            return;
        for (const [id, turn] of this.#turns)
            if (turn.accepted.settled && !info.queued.includes(id))
                this.#doubted.add(id);
    }
    /** The replay is through, and has not shown them. */
    #settleLost() {
        if (this.#doubted.size === 0 || !this.caughtUp)
            return;
        for (const id of this.#doubted) {
            const error = new MessageLostError('the gateway was killed before it had stored the message');
            this.#turns.get(id)?.result.reject(error);
            this.#turns.delete(id);
            this.#reduce({ type: '@refused', id, error: error.message });
        }
        this.#doubted.clear();
    }
    /** Keeps the start options in step, so that a session which has to be made anew is made as it last was. */
    #follow(config) {
        for (const key of ['model', 'permission_mode', 'max_turns', 'max_thinking_tokens']) {
            if (config[key] !== undefined)
                Object.assign(this.#options, { [key]: config[key] });
        }
        Object.assign(this.#options, { effort: config.effort });
    }
    #promptOf(permissionId) {
        return this.#tools.promptTool(permissionId);
    }
    #runTools() {
        if (this.caughtUp)
            this.#tools.run();
    }
    #reduce(input) {
        if (!this.#tracks)
            return;
        const state = reduce(this.#state, input);
        if (state === this.#state)
            return;
        this.#state = state;
        tell(this.#listeners, state, input);
    }
    #fail(error) {
        this.#finish(error);
    }
    #finish(error) {
        if (this.#over)
            return;
        this.#over = error;
        this.#ready.reject(error);
        this.#tools.stop();
        this.#host.forget(this, error);
        for (const queue of [...this.#queues])
            queue.end(error instanceof SessionEndedError ? undefined : error);
        this.#queues.clear();
        for (const turn of this.#turns.values()) {
            turn.accepted.reject(error);
            turn.result.reject(error);
        }
        this.#turns.clear();
    }
}
function isWarning(message, code) {
    return message.type === 'warning' && message.code === code;
}
