'use strict'

/**
 * What each signal stops. One listener per signal, however many executions it serves: Node warns of a leak from the
 * eleventh on.
 *
 * @type {WeakMap<AbortSignal, { stops: Set<() => void>, listener: () => void }>}
 */
const signals = new WeakMap()

/**
 * Calls `stop` when the signal is aborted. Returns what takes that back.
 *
 * @param {AbortSignal} signal
 * @param {() => void} stop
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
  /** @type {Set<() => void>} */
  const stops = new Set()
  const listener = () => {
    signals.delete(signal)
    for (const stop of stops) stop()
  }
  const entry = { stops, listener }
  signal.addEventListener('abort', listener, { once: true })
  signals.set(signal, entry)
  return entry
}

module.exports = { onAbort }
