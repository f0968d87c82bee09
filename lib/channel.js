'use strict'

// Everything that Rust tells comes through one queue, in order, as calls of `dispatch`. Here it is given to
// whom it concerns: an execution, or a promise that waits for an answer.

const { setImmediate } = require('node:timers')
const native = require('./native')
const { aboutOf } = require('./about')
const { onAbort, reasonOf } = require('./abort')
const { fromFailure, messageOf } = require('./error')
const { BatchEvents, call, deliverLines } = require('./lines')
const { toAttempt, toPlanResult, toResult } = require('./result')
const { iso } = require('./time')

const { Told, Wanted } = native

const STREAMS = /** @type {const} */ (['stdout', 'stderr'])

/**
 * An execution or a plan as its caller sees it.
 *
 * @typedef {object} Run
 * @property {string} id
 * @property {((line: string) => unknown) | undefined} [onStdout]
 * @property {((line: string) => unknown) | undefined} [onStderr]
 * @property {((chunk: Buffer) => unknown) | undefined} [onStdoutBytes]
 * @property {((chunk: Buffer) => unknown) | undefined} [onStderrBytes]
 * @property {((event: any) => unknown) | undefined} [onEvent]
 * @property {((events: { next(): any }) => Promise<void> | undefined) | undefined} [onEvents]
 * @property {import('node:async_hooks').AsyncResource | undefined} [context] what the callbacks of the call run in
 * @property {Set<(event: any) => unknown>} subscribers of the engine
 * @property {(() => void) | undefined} [accepted]
 * @property {(error: Error) => void} refused
 * @property {((result: () => any) => void) | undefined} [ended] is given what makes the result
 * @property {(() => void) | undefined} [forget] lets go of the signal
 * @property {number} [token] of what may be fed
 * @property {number[] | undefined} [steps] the tokens of the steps of a plan
 * @property {(() => Promise<void> | void)[] | undefined} [backlog] what waits for a promise of a callback
 * @property {boolean} [over] it has ended
 * @property {any} [metadata] what the request, or the plan, says about itself, as it was checked
 * @property {string} [planId] of a step
 * @property {string | number} [step] its name or index
 * @property {import('./about').About} [about] what its events tell of it
 * @property {((step: number) => Promise<{ request: string, stdin: string | Uint8Array | undefined }>) | undefined} [make]
 *   of a plan: makes the request of a step
 * @property {import('./input').Source | undefined} [source] what the command reads
 */

/** @type {Map<number, Run>} */
const runs = new Map()
/** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
const questions = new Map()
let lastToken = 0

/** @type {Record<keyof typeof Told, (...values: any[]) => void>} */
const handlersByKind = {
  Output: output,
  Pending: pending,
  Started: started,
  Retrying: retrying,
  Ended: ended,
  Accepted: accepted,
  Settled: settled,
  Warning: warning,
  Progress: progress,
  PlanEnded: planEnded,
  Make: make,
  Bytes: bytes,
  Unfinished: unfinished,
  Turn: () => {},
}

/** By the number that comes with a message. @type {((...values: any[]) => void)[]} */
const handlers = []
for (const [kind, handler] of Object.entries(handlersByKind)) handlers[Told[/** @type {'Output'} */ (kind)]] = handler

const channel = new native.Channel((kind, token, ...values) => {
  const handler = /** @type {(...values: any[]) => void} */ (handlers[kind])
  const context = runs.get(token)?.context
  if (context) context.runInAsyncScope(handler, undefined, token, ...values)
  else handler(token, ...values)
})

/** @template T @param {Map<number, T>} map @param {T} entry */
function enter(map, entry) {
  // Tokens are unsigned 32-bit numbers; one that is still in use after four billion others is passed over.
  do {
    lastToken = (lastToken + 1) >>> 0
  } while (runs.has(lastToken) || questions.has(lastToken))
  if (runs.size + questions.size === 0) channel.hold(true)
  map.set(lastToken, entry)
  return lastToken
}

/** @template T @param {Map<number, T>} map @param {number} token */
function leave(map, token) {
  const entry = map.get(token)
  if (map.delete(token) && runs.size + questions.size === 0) channel.hold(false)
  return entry
}

/**
 * Starts something whose answer comes through the channel.
 *
 * @param {(token: number) => import('../binding').Failure | null | undefined | void} start
 * @returns {Promise<any>}
 */
function ask(start) {
  return new Promise((resolve, reject) => {
    const token = enter(questions, { resolve, reject })
    begin(token, () => start(token))
  })
}

/**
 * Settles at once what is refused at once. What throws is settled too: an entry that nobody takes out would keep the
 * event loop alive for ever.
 *
 * @param {number} token
 * @param {() => import('../binding').Failure | null | undefined | void} start
 */
function begin(token, start) {
  try {
    const failure = start()
    if (failure) refuse(token, fromFailure(failure))
  } catch (error) {
    refuse(token, /** @type {Error} */ (error))
  }
}

/** @param {number} token @param {Error} error */
function refuse(token, error) {
  const run = leave(runs, token)
  if (run === undefined) return leave(questions, token)?.reject(error)
  for (const refused of [run, ...leaveSteps(run)]) refused?.source?.release()
  run.refused(error)
  // A signal of the user's own making may throw.
  run.forget?.()
}

/** @type {(token: number, stream: 0 | 1, text: string, partial: number[] | undefined, at: number, size: number) => void} */
function output(token, stream, text, partial, at, size) {
  const run = runs.get(token)
  if (run === undefined) return acknowledge(token, size)
  const batch = { stream: STREAMS[stream], text, partial, at }
  inOrder(run, () => acknowledged(token, size, deliver(run, batch)))
}

/** @type {(token: number, stream: 0 | 1, chunk: Buffer, size: number) => void} */
function bytes(token, stream, chunk, size) {
  const run = runs.get(token)
  const own = stream === 0 ? run?.onStdoutBytes : run?.onStderrBytes
  if (run === undefined || own === undefined) return acknowledge(token, size)
  inOrder(run, () => acknowledged(token, size, call(own, chunk)))
}

/** @type {(token: number, stream: 0 | 1, line: string, at: number, size: number) => void} */
function unfinished(token, stream, line, at, size) {
  const run = runs.get(token)
  if (run === undefined) return acknowledge(token, size)
  const eventType = STREAMS[stream]
  const timestamp = iso(at)
  const event = () => ({ eventType, ...aboutOf(run), line, partial: true, unfinished: true, timestamp })
  inOrder(run, () => acknowledged(token, size, emitOne(run, event)))
}

/**
 * Lets Rust send more once what was delivered has been taken.
 *
 * @param {number} token
 * @param {number} size
 * @param {Promise<void> | undefined} pending
 */
function acknowledged(token, size, pending) {
  if (pending === undefined) return acknowledge(token, size)
  return pending.then(() => acknowledge(token, size))
}

/** What was delivered in this turn of the event loop. @type {Map<number, number>} */
const delivered = new Map()

/**
 * Lets Rust send more, after this turn of the event loop: at once, the queue would never be empty while a
 * command prints, and the loop would do nothing else.
 *
 * @param {number} token
 * @param {number} size
 */
function acknowledge(token, size) {
  if (delivered.size === 0) setImmediate(acknowledgeAll)
  delivered.set(token, (delivered.get(token) ?? 0) + size)
}

function acknowledgeAll() {
  for (const [token, size] of delivered) channel.acknowledge(token, size)
  delivered.clear()
}

/**
 * Gives a batch to all who listen, one after the other.
 *
 * @param {Run} run
 * @param {import('./lines').Batch} batch
 * @returns {Promise<void> | undefined}
 */
function deliver(run, batch) {
  const own = batch.stream === 'stdout' ? run.onStdout : run.onStderr
  let pending = own && deliverLines(run, own, batch.text)
  if (run.onEvents) pending = both(pending, run.onEvents(new BatchEvents(batch, aboutOf(run))))
  if (run.onEvent || run.subscribers.size > 0) {
    pending = both(pending, emitAll(run, new BatchEvents(batch, aboutOf(run))))
  }
  return pending
}

/**
 * @param {Promise<void> | undefined} one
 * @param {Promise<void> | undefined} other
 * @returns {Promise<void> | undefined}
 */
function both(one, other) {
  return one && other ? one.then(() => other) : (one ?? other)
}

/**
 * @param {Run} run
 * @param {BatchEvents} events
 * @returns {Promise<void> | undefined}
 */
function emitAll(run, events) {
  for (let event; (event = events.next()) !== undefined;) {
    const pending = emit(run, event)
    if (pending) return pending.then(() => (run.over ? undefined : emitAll(run, events)))
  }
  return undefined
}

/**
 * Does it now, or after what waits already.
 *
 * @param {Run} run
 * @param {() => Promise<void> | void} step
 */
function inOrder(run, step) {
  if (run.backlog !== undefined) {
    run.backlog.push(step)
    return
  }
  const pending = step()
  if (pending !== undefined) {
    run.backlog = []
    void workOff(run, pending)
  }
}

/** @param {Run} run @param {Promise<void> | void} pending */
async function workOff(run, pending) {
  await pending
  for (let step; (step = run.backlog?.shift()) !== undefined;) await step()
  run.backlog = undefined
}

/**
 * Tells the callback of the call and the subscribers, each with an event of their own: what one does to it, no other
 * sees.
 *
 * @param {Run} run
 * @param {object} event
 * @param {(event: object) => object} another makes one more
 * @returns {Promise<void> | undefined}
 */
function emit(run, event, another = copy) {
  // A subscriber that subscribes again whenever it is told would otherwise be told of this event for ever.
  let left = run.subscribers.size
  const isShared = left > (run.onEvent ? 0 : 1)
  let pending = run.onEvent && call(run.onEvent, isShared ? another(event) : event)
  for (const subscriber of run.subscribers) {
    if (left === 0) break
    left -= 1
    pending = both(pending, call(subscriber, isShared ? another(event) : event))
  }
  return pending
}

/** @param {object} event */
const copy = (event) => ({ ...event })

/** @param {object} event */
function single(event) {
  let next = /** @type {object | undefined} */ (event)
  return {
    next() {
      const event = next
      next = undefined
      return event
    },
  }
}

/** @param {Run} run @param {() => object} make */
function emitOne(run, make) {
  const pending = run.onEvents?.(single(make()))
  return run.onEvent || run.subscribers.size > 0 ? both(pending, emit(run, make(), make)) : pending
}

/** @type {(token: number, at: number) => void} */
function pending(token, at) {
  const run = runs.get(token)
  if (run === undefined) return
  const event = () => ({ eventType: 'pending', ...aboutOf(run), timestamp: iso(at) })
  inOrder(run, () => emitOne(run, event))
}

/** @type {(token: number, pid: number, command: string, at: number) => void} */
function started(token, pid, command, at) {
  const run = runs.get(token)
  if (run === undefined) return
  const event = () => ({ eventType: 'started', ...aboutOf(run), command, pid, timestamp: iso(at) })
  inOrder(run, () => emitOne(run, event))
}

/** @type {(token: number, attempt: number, delayMs: number, json: string, at: number) => void} */
function retrying(token, attempt, delayMs, json, at) {
  const run = runs.get(token)
  if (run === undefined) return
  const event = () => {
    const ended = toAttempt(json)
    const error = ended.error ?? ''
    return { eventType: 'retrying', ...aboutOf(run), attempt, delayMs, error, ended, timestamp: iso(at) }
  }
  inOrder(run, () => emitOne(run, event))
}

/** @type {(token: number, json: string | undefined, out: string, err: string, outBytes?: Buffer, errBytes?: Buffer) => void} */
function ended(token, json, out, err, outBytes, errBytes) {
  const run = leave(runs, token)
  if (run === undefined) return
  // Rust has waited for the callbacks; what has not returned by now is not waited for any longer, and no line comes
  // after the end.
  run.over = true
  run.backlog = undefined
  run.source?.end()
  if (json !== undefined) {
    const make = () => toResult(json, out, err, outBytes, errBytes)
    emitOne(run, () => endOf(run, make()))
    run.ended?.(make)
  }
  run.forget?.()
}

/** @param {Run} run @param {import('../index').ExecutionResult} result */
function endOf(run, result) {
  return { eventType: result.status, ...aboutOf(run), result, timestamp: result.completedAt }
}

/** @type {(token: number, completed: number, total: number, command: string | undefined, at: number) => void} */
function progress(token, completed, total, command, at) {
  const run = runs.get(token)
  if (run === undefined) return
  const currentCommand = command ?? null
  const { metadata } = aboutOf(run)
  emitOne(run, () => ({
    eventType: 'progress',
    planId: run.id,
    metadata,
    completed,
    total,
    currentCommand,
    timestamp: iso(at),
  }))
}

/** @type {(token: number, parts: string[] | undefined, at: number) => void} */
function planEnded(token, parts, at) {
  const run = leave(runs, token)
  if (run === undefined) return
  for (const step of leaveSteps(run)) step?.source?.end()
  if (parts !== undefined) {
    const make = () => toPlanResult(parts)
    const { metadata } = aboutOf(run)
    emitOne(run, () => ({ eventType: 'plan_completed', planId: run.id, metadata, result: make(), timestamp: iso(at) }))
    run.ended?.(make)
  }
  run.forget?.()
}

/**
 * Forgets the steps of a plan that was refused, or that has ended without them.
 *
 * @param {Run} run
 */
const leaveSteps = (run) => (run.steps ?? []).map((token) => leave(runs, token))

/** @type {(token: number, step: number, question: number) => void} */
function make(token, step, question) {
  const run = runs.get(token)
  // A plan that was refused or has ended asks for nothing; its last question may still be on its way.
  if (run?.make === undefined) return channel.answer(question, undefined, undefined, 'its plan has ended')
  run.make(step).then(
    ({ request, stdin }) => channel.answer(question, request, stdin, undefined),
    (error) => channel.answer(question, undefined, undefined, messageOf(error)),
  )
}

/** @param {number} token */
function accepted(token) {
  runs.get(token)?.accepted?.()
}

/** @type {(token: number, failure: import('../binding').Failure | undefined, value: any) => void} */
function settled(token, failure, value) {
  if (failure !== undefined) refuse(token, fromFailure(failure))
  else leave(questions, token)?.resolve(value)
}

/** @type {(token: number, text: string, code: string) => void} */
function warning(_, text, code) {
  process.emitWarning(text, { type: 'ExecutionEngineWarning', code })
}

/** @param {Run} run @param {AbortSignal} [signal] */
function wantsOf(run, signal) {
  let wants = 0
  const events = run.onEvent || run.onEvents
  if (run.onStdout || events) wants |= Wanted.Stdout
  if (run.onStderr || events) wants |= Wanted.Stderr
  if (run.onStdoutBytes) wants |= Wanted.StdoutBytes
  if (run.onStderrBytes) wants |= Wanted.StderrBytes
  if (run.ended || events) wants |= Wanted.Result
  if (events) wants |= Wanted.Started
  if (run.accepted) wants |= Wanted.Accepted
  if (signal?.aborted) wants |= Wanted.Nothing
  return wants
}

/**
 * Submits an execution; throws what is refused at once. `signal` is dealt with here, so that its listener never
 * outlives the execution.
 *
 * @param {import('../binding').NativeEngine} engine
 * @param {Run} run
 * @param {{ request: string, stdin: string | Uint8Array | undefined, variables: string | undefined }} submission
 * @param {AbortSignal} [signal]
 */
function submit(engine, run, { request, stdin, variables }, signal) {
  const wants = wantsOf(run, signal)
  const token = enter(runs, run)
  if (run.source) run.token = token
  // Not as `begin` does, whose closure would cost each start a microsecond.
  try {
    if (signal) stopOnAbort(run, token, signal)
    const failure = engine.execute(token, request, stdin, variables, wants, reasonIfAborted(signal))
    if (failure) throw fromFailure(failure)
  } catch (error) {
    leave(runs, token)
    run.source?.release()
    run.forget?.()
    throw error
  }
}

/**
 * Submits a plan; each of its steps is told of as an execution.
 *
 * @param {import('../binding').NativeEngine} engine
 * @param {Run} run
 * @param {import('./plan').Submission} submission
 * @param {AbortSignal} [signal]
 */
function submitPlan(engine, run, { plan, runs: stepRuns, inputs, variables }, signal) {
  const { onStdout, onStderr, onStdoutBytes, onStderrBytes, onEvent, context, subscribers } = run
  const told = { onStdout, onStderr, onStdoutBytes, onStderrBytes, onEvent }
  const shared = { ...told, context, subscribers, refused: () => {} }
  for (const step of stepRuns) Object.assign(step, shared)
  // All want the same.
  const [first] = stepRuns
  const steps = first === undefined ? 0 : wantsOf(first)
  const wants = { plan: wantsOf(run, signal), steps, reason: reasonIfAborted(signal) }
  const token = enter(runs, run)
  const tokens = stepRuns.map((step) => (step.token = enter(runs, step)))
  run.steps = tokens
  begin(token, () => {
    if (signal) stopOnAbort(run, token, signal)
    return engine.executePlan(token, tokens, plan, inputs, variables, wants)
  })
}

/**
 * Lets a source feed what was submitted with that token, and nothing else: its id may be that of another by then.
 *
 * @param {import('../binding').NativeEngine} engine
 * @param {import('./input').Source} source
 * @param {number} token
 */
function feed(engine, source, token) {
  return source.feed({
    write: (chunk) => ask((question) => engine.feed(question, token, chunk)),
    close: () => ask((question) => engine.endFeed(question, token)),
    fail: (problem) => engine.failFeed(token, problem),
  })
}

/**
 * Tells a run of an execution that was accepted before. Returns what ends that, and what says that something was taken.
 *
 * @param {import('../binding').NativeEngine} engine
 * @param {Run} run
 */
function subscribe(engine, run) {
  const token = enter(runs, run)
  try {
    const { json, failure } = engine.subscribe(token, run.id)
    if (failure) throw fromFailure(failure)
    const { metadata, plan_id, step } = JSON.parse(/** @type {string} */ (json))
    Object.assign(run, { metadata, planId: plan_id, step })
  } catch (error) {
    leave(runs, token)
    throw error
  }
  const end = () => {
    leave(runs, token)
    channel.unsubscribe(token)
  }
  return { leave: end, touch: () => acknowledge(token, 0) }
}

/** @param {Run} run @param {number} token @param {AbortSignal} signal */
function stopOnAbort(run, token, signal) {
  run.forget = onAbort(signal, (reason) => channel.stop(token, reason))
}

/** @param {AbortSignal} [signal] */
const reasonIfAborted = (signal) => (signal?.aborted ? reasonOf(signal) : undefined)

/** @param {string} config as JSON */
const open = (config) => new native.NativeEngine(channel, config)

module.exports = { ask, feed, open, submit, submitPlan, subscribe }
