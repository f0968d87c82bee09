// Spans of OpenTelemetry for executions: `subscribe(api)`, with what `@opentelemetry/api` exports, before the first one.
// Each command gets the span as its parent, in `TRACEPARENT`.

import { tracingChannel } from 'node:diagnostics_channel'

/** The status of a span that has failed, in OpenTelemetry. */
const ERROR = 2

/** @typedef {import('@escher-dbai/execution-engine').ExecutionTrace} ExecutionTrace */

/**
 * What is used of OpenTelemetry.
 *
 * @typedef {object} Span
 * @property {(name: string, value: string | number | boolean) => unknown} setAttribute
 * @property {(status: { code: number, message?: string }) => unknown} setStatus
 * @property {(time?: Date) => void} end
 *
 * @typedef {object} Api
 * @property {{ active(): any }} context
 * @property {{ inject(context: any, carrier: Record<string, string>): void }} propagation
 * @property {{ getTracer(name: string): { startSpan(name: string, options?: any, context?: any): Span }, setSpan(context: any, span: any): any }} trace
 */

/**
 * Makes spans from here on. Returns what ends that.
 *
 * @param {Api} api
 */
export function subscribe({ context, propagation, trace }) {
  const tracer = trace.getTracer('@escher-dbai/execution-engine')
  /** @type {WeakMap<object, Span>} */
  const spans = new WeakMap()
  const subscribers = {
    /** @param {any} message */
    start(message) {
      const { id, kind, commandType, metadata, env } = /** @type {ExecutionTrace} */ (message)
      const parent = context.active()
      const span = tracer.startSpan(commandType === null ? kind : `${kind} ${commandType}`, undefined, parent)
      spans.set(message, span)
      span.setAttribute('escher.id', id)
      if (metadata.source !== undefined) span.setAttribute('escher.source', metadata.source)
      /** @type {Record<string, string>} */
      const carrier = {}
      propagation.inject(trace.setSpan(parent, span), carrier)
      // `traceparent` and `tracestate`, as variables are spelled.
      for (const [name, value] of Object.entries(carrier)) env[name.toUpperCase()] = value
    },
    /** @param {any} message */
    end(message) {
      // Refused in the call itself: no result follows.
      if (message.error !== undefined) finish(message)
    },
    asyncStart() {},
    /** @param {any} message */
    asyncEnd: (message) => finish(message),
    error() {},
  }

  /** @param {ExecutionTrace} message */
  function finish(message) {
    const span = spans.get(message)
    if (span === undefined) return
    spans.delete(message)
    const { result, error } = message
    if (result !== undefined) {
      span.setAttribute('escher.status', result.status)
      if ('command' in result) span.setAttribute('process.command_line', result.command)
      if ('exitCode' in result && result.exitCode !== null) span.setAttribute('process.exit.code', result.exitCode)
    }
    const isGood = result?.success ?? false
    if (!isGood) {
      const reason = error?.message ?? (result && 'error' in result ? result.error : undefined) ?? 'it has failed'
      span.setStatus({ code: ERROR, message: reason })
    }
    span.end()
  }

  const channel = tracingChannel('escher.execution')
  channel.subscribe(/** @type {any} */ (subscribers))
  return () => channel.unsubscribe(/** @type {any} */ (subscribers))
}
