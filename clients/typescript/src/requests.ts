// What was asked and not yet answered.

import { GatewayError } from './errors.js';
import type { Deferred } from './deferred.js';
import { deferred } from './deferred.js';
import type { ClientMessage, ServerMessage } from './protocol.js';

export interface RequestOptions {
  /** Gives up waiting; the request may still take effect. */
  signal?: AbortSignal;
  /** Overrides the client's `requestTimeoutMs`; 0: for ever. */
  timeoutMs?: number;
}

/** One request on its way. `match` says which message answers it, and with what. */
export interface Pending {
  readonly message: ClientMessage;
  readonly frame: string;
  /** Whether it may be said again after a reconnect: the gateway must take the second time for the first. */
  readonly repeatable: boolean;
  readonly match: (message: ServerMessage) => unknown;
  /** Whether a refusal is to be kept back for now, in case an event that answers after all is on its way. */
  readonly holds: ((refusal: GatewayError) => boolean) | undefined;
  readonly answer: Deferred<unknown>;
  /** The connection that it was last sent on; 0: none yet. */
  sentOn: number;
  /** The refusal that is kept back. */
  refusal: GatewayError | undefined;
}

/** The requests of one client, in the order in which they were made. */
export class Requests {
  readonly #pending = new Map<string, Pending>();

  add(message: ClientMessage, repeatable: boolean, match: Pending['match'], holds?: Pending['holds']): Pending {
    const pending: Pending = {
      message, frame: JSON.stringify(message), repeatable, match, holds, answer: deferred<unknown>(), sentOn: 0, refusal: undefined,
    };
    this.#pending.set(message.id, pending);
    return pending;
  }

  has(id: string): boolean {
    return this.#pending.has(id);
  }

  /** Settles what `message` answers. An `error` without `seq` refuses the request that it names. */
  settle(message: ServerMessage): void {
    if (message.type === 'assistant_message_delta') return; // The one frequent message; it answers nothing.
    const named = message.request_id === undefined ? undefined : this.#pending.get(message.request_id);
    if (named && message.type === 'error' && message.seq === undefined) {
      const refusal = new GatewayError(message);
      if (named.holds?.(refusal)) named.refusal = refusal;
      else this.fail(named, refusal);
      return;
    }
    for (const pending of this.#pending.values()) {
      const session = pending.message.session_id;
      if (session !== undefined && session !== message.session_id) continue;
      const answer = pending.match(message);
      if (answer === undefined) continue;
      this.#pending.delete(pending.message.id);
      if (answer instanceof Error) pending.answer.reject(answer);
      else pending.answer.resolve(answer);
    }
  }

  fail(pending: Pending, error: Error): void {
    this.#pending.delete(pending.message.id);
    pending.answer.reject(error);
  }

  /** Nothing that could still answer is on its way: refusals that were kept back hold. */
  release(sessionId: string): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.refusal && pending.message.session_id === sessionId) this.fail(pending, pending.refusal);
    }
  }

  /** Fails all that `which` picks. */
  failWhere(which: (pending: Pending) => boolean, error: Error): void {
    for (const pending of [...this.#pending.values()]) if (which(pending)) this.fail(pending, error);
  }

  /** Those of one session (`undefined`: of none) that were not sent on connection `generation` yet. */
  unsent(sessionId: string | undefined, generation: number): Pending[] {
    return [...this.#pending.values()].filter(
      (pending) => pending.message.session_id === sessionId && pending.sentOn !== generation,
    );
  }

  /** Those about sessions that `isOpen` does not know, in order. */
  detached(isOpen: (sessionId: string) => boolean): Pending[] {
    return [...this.#pending.values()].filter(({ message }) => message.session_id !== undefined && !isOpen(message.session_id));
  }

  /** Those that were sent on connection `generation` and are not answered. */
  sentOn(generation: number): Pending[] {
    return [...this.#pending.values()].filter((pending) => pending.sentOn === generation);
  }
}
