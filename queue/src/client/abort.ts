type Stop = (reason: string | undefined) => void

/**
 * What each signal stops. One listener per signal, however many it serves: Node warns of a leak from the eleventh on.
 */
const signals = new WeakMap<AbortSignal, Set<Stop>>()

/** Calls `stop` with the reason once the signal is aborted. Returns what takes that back. */
export function onAbort(signal: AbortSignal, stop: Stop): () => void {
  const stops = signals.get(signal) ?? listen(signal)
  stops.add(stop)
  return () => stops.delete(stop)
}

function listen(signal: AbortSignal): Set<Stop> {
  const stops = new Set<Stop>()
  signals.set(signal, stops)
  const onEvent = (): void => {
    const reason = reasonOf(signal)
    for (const stop of stops) stop(reason)
  }
  signal.addEventListener('abort', onEvent, { once: true })
  return stops
}

/** What a promise comes to; `undefined` once it is aborted, as it is waited for no longer. */
export async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  let forget = (): unknown => undefined
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined)
    else forget = onAbort(signal, () => resolve(undefined))
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    forget()
  }
}

/** Why it was aborted, in words; what is neither an error nor a text says nothing. */
export function reasonOf(signal: AbortSignal): string | undefined {
  try {
    const reason: unknown = signal.reason
    const isObject = typeof reason === 'object' && reason !== null
    const text = isObject ? (reason as Error).message || (reason as Error).name : reason
    return typeof text === 'string' && text !== '' ? Buffer.from(text).toString() : undefined
  } catch {
    // A reason of the user's own making.
    return undefined
  }
}
