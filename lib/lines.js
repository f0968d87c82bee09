"use strict";

// Lines come as one string for up to 64 KiB of output, and are cut here: one call from Rust per line would be
// slower than what it replaces.

/** @typedef {(line: string, partial: boolean) => unknown} Listener */

/**
 * @typedef {object} Batch
 * @property {string} text lines, each followed by a newline
 * @property {number[] | undefined} partial the indices of those that go on in the next
 */

/**
 * Gives every line to every listener. Returns a promise only if a listener returned one: then the next line
 * waits until it has settled.
 *
 * @param {Listener[]} listeners
 * @param {Batch} batch
 * @returns {Promise<void> | undefined}
 */
function deliver(listeners, batch) {
  if (listeners.length === 1 && batch.partial === undefined) {
    return deliverFast(listeners[0], batch.text, 0);
  }
  return deliverFrom(listeners, batch, 0, 0);
}

/**
 * @param {Listener} listener
 * @param {string} text
 * @param {number} start
 */
function deliverFast(listener, text, start) {
  for (let end; (end = text.indexOf("\n", start)) !== -1; start = end + 1) {
    const pending = call(listener, text.slice(start, end), false);
    if (pending !== undefined) {
      const rest = end + 1;
      return pending.then(() => deliverFast(listener, text, rest));
    }
  }
  return undefined;
}

/**
 * @param {Listener[]} listeners
 * @param {Batch} batch
 * @param {number} start
 * @param {number} index
 * @returns {Promise<void> | undefined}
 */
function deliverFrom(listeners, batch, start, index) {
  const { text, partial } = batch;
  for (
    let end;
    (end = text.indexOf("\n", start)) !== -1;
    start = end + 1, index++
  ) {
    const line = text.slice(start, end);
    const isPartial = partial !== undefined && partial.includes(index);
    const pending = callAll(listeners, line, isPartial);
    if (pending !== undefined) {
      const [rest, next] = [end + 1, index + 1];
      return pending.then(() => deliverFrom(listeners, batch, rest, next));
    }
  }
  return undefined;
}

/**
 * @template T
 * @param {((value: T, partial: boolean) => unknown)[]} listeners
 * @param {T} value
 * @param {boolean} partial
 * @returns {Promise<unknown> | undefined}
 */
function callAll(listeners, value, partial) {
  let pending;
  for (const listener of listeners) {
    const returned = call(listener, value, partial);
    if (returned !== undefined)
      pending = pending ? Promise.all([pending, returned]) : returned;
  }
  return pending;
}

/**
 * Calls a listener of the user. What it throws is reported as an uncaught exception, and what it rejects as an
 * unhandled rejection, as with any event listener; the execution goes on.
 *
 * @template T
 * @param {(value: T, partial: boolean) => unknown} listener
 * @param {T} value
 * @param {boolean} partial
 * @returns {Promise<void> | undefined}
 */
function call(listener, value, partial) {
  let returned;
  try {
    returned = /** @type {any} */ (listener(value, partial));
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
    return undefined;
  }
  if (returned === undefined || typeof returned?.then !== "function")
    return undefined;
  return Promise.resolve(returned).then(nothing, (error) => {
    void Promise.reject(error);
  });
}

function nothing() {}

module.exports = { deliver, callAll };
