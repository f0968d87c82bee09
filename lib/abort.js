'use strict'

/** @typedef {(reason: string | undefined) => void} Stop */

/**
 * What each signal stops. One listener per signal, however many executions it serves: Node warns of a leak from the
 * eleventh on.
 *
 * @type {WeakMap<AbortSignal, { stops: Set<Stop>, listener: () => void }>}
 */
const signals = new WeakMap()

/**
 * Calls `stop` with the reason when the signal is aborted. Returns what takes that back.
 *
 * @param {AbortSignal} signal
 * @param {Stop} stop
 */
function onAbort(signal, stop) {
  const entry = signals.get(signal) ?? listen(signal)
  entry.stops.add(stop)
  return () => {
    entry.stops.delete(stop)
    if (entry.stops.size > 0 || signals.get(signal) !== entry) return
    signals.delete(signal)
    signal.removeEventListener('abort', entry.listener)
  }
}

/** @param {AbortSignal} signal */
function listen(signal) {
  /** @type {Set<Stop>} */
  const stops = new Set()
  const listener = () => {
    signals.delete(signal)
    const reason = reasonOf(signal)
    for (const stop of stops) stop(reason)
  }
  const entry = { stops, listener }
  signal.addEventListener('abort', listener, { once: true })
  signals.set(signal, entry)
  return entry
}

/**
 * Why a signal was aborted, in words: the message of an error, or a text. What is neither says nothing.
 *
 * @param {AbortSignal} signal
 * @returns {string | undefined}
 */
function reasonOf(signal) {
  try {
    const { reason } = signal
    const text = typeof reason === 'object' ? reason?.message || reason?.name : reason
    // No half of a character.
    return typeof text === 'string' && text !== '' ? /** @type {any} */ (text).toWellFormed() : undefined
  } catch {
    // A signal, or a reason, of the user's own making.
    return undefined
  }
}

module.exports = { onAbort, reasonOf }
