import { AsyncResource } from 'node:async_hooks'
import type { ExecutionEvent, PlanEvent, Result } from '@escher-dbai/execution-engine'
import type { Item } from '../lines/entry'
import type { Callbacks } from './options'

/** What each event tells of its execution. */
export interface About {
  readonly executionId: string
  readonly metadata: Result['metadata']
  readonly planId: string | null
  readonly step: string | number | null
}

export type AnyEvent = ExecutionEvent | PlanEvent

type Pending = Promise<void> | undefined

/** The events of what was read. */
export function* eventsOf(about: About, item: Item): Generator<AnyEvent, void, undefined> {
  if (item.kind === 'event') {
    // It was an event on the worker, and gets back what it tells of its execution, or of its plan.
    const { executionId: planId, metadata } = about
    const own = item.event.eventType === 'progress' ? { planId, metadata } : about
    yield { ...own, ...item.event } as unknown as AnyEvent
  } else if (item.kind === 'piece') {
    const { stream, text, at, unfinished } = item
    const event = { eventType: stream, ...about, line: text, partial: true, timestamp: new Date(at).toISOString() }
    yield unfinished ? { ...event, unfinished } : event
  } else if (item.kind === 'lines') {
    const timestamp = new Date(item.at).toISOString()
    for (const line of linesOf(item.text)) yield { eventType: item.stream, ...about, line, partial: false, timestamp }
  }
}

export function* linesOf(text: string): Generator<string, void, undefined> {
  let start = 0
  for (let end; (end = text.indexOf('\n', start)) !== -1; start = end + 1) yield text.slice(start, end)
}

/** Calls the callbacks of a call, one after the other, each once the promise of the one before it has settled. */
export class Delivery {
  readonly #callbacks: Callbacks
  /** What an `AsyncLocalStorage` held in the call, the callbacks see. */
  readonly #context = new AsyncResource('QueueEngine')

  constructor(callbacks: Callbacks) {
    this.#callbacks = callbacks
  }

  /** Answers a promise only if a callback has returned one. */
  item(about: About, item: Item): Pending {
    const { onStdout, onStderr, onEvent } = this.#callbacks
    const isLine = item.kind === 'lines' || (item.kind === 'piece' && !item.unfinished)
    const own = isLine ? (item.stream === 'stdout' ? onStdout : onStderr) : undefined
    const texts =
      isLine && own ? (item.kind === 'lines' ? linesOf(item.text) : [item.text][Symbol.iterator]()) : undefined
    const pending = own && texts && this.#each(own, texts)
    const events = (): Pending => onEvent && this.#each(onEvent, eventsOf(about, item))
    return pending === undefined ? events() : pending.then(events)
  }

  event(event: AnyEvent): Pending {
    const { onEvent } = this.#callbacks
    return onEvent && this.#each(onEvent, [event][Symbol.iterator]())
  }

  #each<T>(callback: (value: T) => unknown, values: Iterator<T, unknown>): Pending {
    for (let step; (step = values.next()).done !== true;) {
      const { value } = step
      const pending = this.#context.runInAsyncScope(() => call(callback, value))
      if (pending) return pending.then(() => this.#each(callback, values))
    }
    return undefined
  }
}

/**
 * Calls the callback of a user once. What it throws is an uncaught exception and what it rejects an unhandled rejection, as
 * with any event listener; the execution goes on.
 */
function call<T>(callback: (value: T) => unknown, value: T): Promise<void> | undefined {
  try {
    const returned = callback(value)
    return isThenable(returned) ? settling(returned) : undefined
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
    return undefined
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

async function settling(returned: PromiseLike<unknown>): Promise<void> {
  try {
    await returned
  } catch (error) {
    void Promise.reject(error)
  }
}
