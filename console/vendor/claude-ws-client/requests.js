// What was asked and not yet answered.
import { GatewayError } from './errors.js';
import { deferred } from './deferred.js';
/** The requests of one client, in the order in which they were made. */
export class Requests {
    #pending = new Map();
    add(message, repeatable, match, holds) {
        const pending = {
            message, frame: JSON.stringify(message), repeatable, match, holds, answer: deferred(), sentOn: 0, refusal: undefined,
        };
        this.#pending.set(message.id, pending);
        return pending;
    }
    has(id) {
        return this.#pending.has(id);
    }
    /** Settles what `message` answers. An `error` without `seq` refuses the request that it names. */
    settle(message) {
        if (message.type === 'assistant_message_delta')
            return; // The one frequent message; it answers nothing.
        const named = message.request_id === undefined ? undefined : this.#pending.get(message.request_id);
        if (named && message.type === 'error' && message.seq === undefined) {
            const refusal = new GatewayError(message);
            if (named.holds?.(refusal))
                named.refusal = refusal;
            else
                this.fail(named, refusal);
            return;
        }
        for (const pending of this.#pending.values()) {
            const session = pending.message.session_id;
            if (session !== undefined && session !== message.session_id)
                continue;
            const answer = pending.match(message);
            if (answer === undefined)
                continue;
            this.#pending.delete(pending.message.id);
            if (answer instanceof Error)
                pending.answer.reject(answer);
            else
                pending.answer.resolve(answer);
        }
    }
    fail(pending, error) {
        this.#pending.delete(pending.message.id);
        pending.answer.reject(error);
    }
    /** Nothing that could still answer is on its way: refusals that were kept back hold. */
    release(sessionId) {
        for (const pending of [...this.#pending.values()]) {
            if (pending.refusal && pending.message.session_id === sessionId)
                this.fail(pending, pending.refusal);
        }
    }
    /** Fails all that `which` picks. */
    failWhere(which, error) {
        for (const pending of [...this.#pending.values()])
            if (which(pending))
                this.fail(pending, error);
    }
    /** Those of one session (`undefined`: of none) that were not sent on connection `generation` yet. */
    unsent(sessionId, generation) {
        return [...this.#pending.values()].filter((pending) => pending.message.session_id === sessionId && pending.sentOn !== generation);
    }
    /** Those about sessions that `isOpen` does not know, in order. */
    detached(isOpen) {
        return [...this.#pending.values()].filter(({ message }) => message.session_id !== undefined && !isOpen(message.session_id));
    }
    /** Those that were sent on connection `generation` and are not answered. */
    sentOn(generation) {
        return [...this.#pending.values()].filter((pending) => pending.sentOn === generation);
    }
}
