// What was said before, brought back with the arrow keys, as in a terminal.

export class History {
  #texts;
  #at;
  #draft = '';

  /** `texts` gives what was said, oldest first. */
  constructor(texts) {
    this.#texts = texts;
  }

  /** Whether a text of before is shown. */
  get isOpen() {
    return this.#at !== undefined;
  }

  /** One further back; `undefined` where there is none. */
  back(current) {
    const texts = this.#texts();
    if (this.#at === undefined) this.#draft = current;
    const at = (this.#at ?? texts.length) - 1;
    if (at < 0) return undefined;
    this.#at = at;
    return texts[at];
  }

  /** One further on; at the end what was being written. */
  on() {
    if (this.#at === undefined) return undefined;
    const texts = this.#texts();
    this.#at += 1;
    if (this.#at < texts.length) return texts[this.#at];
    this.close();
    return this.#draft;
  }

  /** Something else is being written. */
  close() {
    this.#at = undefined;
  }
}
