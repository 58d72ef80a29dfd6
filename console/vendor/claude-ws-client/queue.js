import { EventOverflowError } from './errors.js';
/**
 * The events of a session for one reader, in order.
 *
 * At most `limit` events wait. When one more comes, the reader is handed those that wait and then an
 * `EventOverflowError`; the session itself, its state and other readers go on.
 */
export class EventQueue {
    #limit;
    #onReturn;
    #waiting = [];
    #head = 0;
    #lastSeq = 0;
    #readers = [];
    #end;
    constructor(limit, onReturn) {
        this.#limit = limit;
        this.#onReturn = onReturn;
    }
    push(event) {
        if (this.#end)
            return;
        const reader = this.#readers.shift();
        if (reader) {
            this.#lastSeq = event.seq;
            reader.resolve({ done: false, value: event });
            return;
        }
        if (this.#waiting.length - this.#head >= this.#limit) {
            const last = this.#waiting[this.#waiting.length - 1];
            this.#onReturn(this);
            this.end(new EventOverflowError(this.#limit, last?.seq ?? this.#lastSeq));
            return;
        }
        this.#waiting.push(event);
    }
    /** No more events: what waits is still read, then the iteration ends, or fails with `error`. */
    end(error) {
        if (this.#end)
            return;
        this.#end = error === undefined ? {} : { error };
        for (const reader of this.#readers.splice(0)) {
            if (error === undefined)
                reader.resolve({ done: true, value: undefined });
            else
                reader.reject(error);
        }
    }
    next() {
        const event = this.#waiting[this.#head];
        if (event) {
            this.#head += 1;
            // Shifting an array is linear: the read part is dropped only now and then.
            if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
                this.#waiting = this.#waiting.slice(this.#head);
                this.#head = 0;
            }
            this.#lastSeq = event.seq;
            return Promise.resolve({ done: false, value: event });
        }
        if (this.#end) {
            const { error } = this.#end;
            this.#end = {};
            return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
        }
        return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    }
    return() {
        this.#onReturn(this);
        this.#waiting = [];
        this.#head = 0;
        this.end();
        return Promise.resolve({ done: true, value: undefined });
    }
    [Symbol.asyncIterator]() {
        return this;
    }
}
