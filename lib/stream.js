"use strict";

/**
 * The events of one execution, taken one by one. Output that was not taken yet is held back in the command.
 *
 * @implements {AsyncGenerator<any, void, undefined>}
 */
class EventStream {
  /** @type {any[]} */
  #events = [];
  /** @type {{ resolve: (step: IteratorResult<any>) => void, reject: (error: unknown) => void }[]} */
  #waiting = [];
  /** @type {(() => void) | undefined} */
  #taken;
  #begun = false;
  #over = false;
  /** @type {Error | undefined} */
  #error;
  #start;
  #stop;

  /**
   * @param {(stream: EventStream) => void} start
   * @param {() => Promise<void>} stop
   */
  constructor(start, stop) {
    this.#start = start;
    this.#stop = stop;
  }

  /**
   * Takes an event from the engine; the promise settles once it has been taken from here.
   *
   * @param {any} event
   */
  push(event) {
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting.resolve({ value: event, done: false });
      return undefined;
    }
    this.#events.push(event);
    return new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      this.#taken = resolve;
    });
  }

  /** @param {Error} [error] */
  end(error) {
    this.#over = true;
    this.#error = error;
    for (const waiting of this.#waiting.splice(0)) this.#finish(waiting);
  }

  /** @param {{ resolve: (step: IteratorResult<any>) => void, reject: (error: unknown) => void }} waiting */
  #finish({ resolve, reject }) {
    const error = this.#error;
    this.#error = undefined;
    if (error) reject(error);
    else resolve({ value: undefined, done: true });
  }

  /** @returns {Promise<IteratorResult<any, void>>} */
  next() {
    if (!this.#begun) {
      this.#begun = true;
      this.#start(this);
    }
    if (this.#events.length > 0) {
      const value = this.#events.shift();
      if (this.#events.length === 0) this.#release();
      return Promise.resolve({ value, done: false });
    }
    return new Promise((resolve, reject) => {
      if (this.#over) this.#finish({ resolve, reject });
      else this.#waiting.push({ resolve, reject });
    });
  }

  #release() {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }

  /** Leaving early cancels the execution, and waits until nothing of it is left. */
  async return() {
    if (this.#begun && !this.#over) {
      const stopped = this.#stop();
      this.#events.length = 0;
      this.#release();
      await stopped;
    }
    this.#begun = true;
    this.end();
    return { value: undefined, done: /** @type {const} */ (true) };
  }

  /** @param {unknown} error @returns {Promise<any>} */
  async throw(error) {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [/** @type {any} */ (Symbol).asyncDispose ??
    Symbol.for("Symbol.asyncDispose")]() {
    await this.return();
  }
}

module.exports = { EventStream };
