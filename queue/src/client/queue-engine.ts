import type {
  ExecuteOptions,
  ExecutionEvent,
  ExecutionFilter,
  ExecutionResult,
  ExecutionStatus,
  ExecutionSummary,
  Executor,
  FollowLogsOptions,
  LogLine,
  LogPage,
  LogPageOptions,
  PlanExecutionResult,
  PlanOptions,
  RunOptions,
} from '@escher-dbai/execution-engine'
import { ExecutionError } from '@escher-dbai/execution-engine'
import { describe, emitWarning, notFound, refused, shutDown } from '../errors'
import { checkedCount, checkedKeys, checkedLabels, checkedName, Names } from '../names'
import type { QueueEngineOptions, QueuePlan, QueueRequest } from '../options'
import { Connections } from '../redis/connections'
import { defineScripts } from '../redis/scripts'
import { Store } from '../redis/store'
import type { Fields } from '../redis/store'
import { checkedId } from '../request/checked'
import { preparePlan, prepareRequest } from '../request/prepare'
import type { Limits } from '../request/prepare'
import { resultOf } from '../request/results'
import type { StoredResult } from '../request/results'
import { onAbort, unlessAborted } from './abort'
import { Answers } from './answers'
import { Bells } from './bells'
import { Canceller } from './canceller'
import { listed, statusOf } from './directory'
import { Driving } from './driving'
import { Feed } from './feed'
import { LogReader } from './log-reader'
import { checkedFilter, checkedFollow, checkedOptions, checkedPage, checkedReason, checkedSignal } from './options'
import { planEnd } from './reading'
import { Runs } from './runs'
import { Submitter } from './submitter'

const OPTIONS = [
  'connection',
  'name',
  'prefix',
  'telemetry',
  'placement',
  'retentionSecs',
  'maxFinished',
  'acceptTimeoutMs',
]

/**
 * Has commands run by {@link ExecutionWorker | workers}, which may be on other machines. It keeps the promises of
 * {@link ExecutionEngine}, as far as they do not speak of this machine.
 *
 * A request is accepted once Redis has acknowledged it; then it ends exactly once, in exactly one result, whatever happens
 * to workers. A request whose acceptance is not known (`IO`) may be submitted again under the same id: it is run once.
 *
 * @example
 * ```ts
 * import { QueueEngine } from '@escher-dbai/execution-queue'
 *
 * const queue = new QueueEngine({ connection: { host: '127.0.0.1', port: 6379 } })
 * const result = await queue.run({ command: { type: 'shell', command: 'make test' } }, { onStdout: console.log })
 * ```
 */
export class QueueEngine implements Executor, AsyncDisposable {
  readonly #names: Names
  readonly #connections: Connections
  readonly #store: Store
  readonly #answers: Answers
  readonly #submitter: Submitter
  readonly #runs: Runs
  readonly #driving: Driving
  readonly #logs: LogReader
  readonly #limits: Limits
  readonly #isSpread: boolean
  /** What ends the loops over lines. */
  readonly #following = new Set<() => void>()

  /**
   * Connects in the background.
   *
   * @throws `ExecutionError` `INVALID_CONFIG`, with the `field`.
   */
  constructor(options: QueueEngineOptions) {
    checkedKeys(options, OPTIONS)
    const { placement } = options
    if (placement !== undefined && placement !== 'worker' && placement !== 'spread') {
      throw refused('placement', '"worker" or "spread"', describe(placement), 'INVALID_CONFIG')
    }
    this.#isSpread = placement === 'spread'
    this.#limits = {
      retentionSecs: checkedCount('retentionSecs', options.retentionSecs, 3600),
      maxFinished: checkedCount('maxFinished', options.maxFinished, 10_000),
    }
    const acceptTimeoutMs = checkedCount('acceptTimeoutMs', options.acceptTimeoutMs, 30_000)
    this.#names = new Names(
      checkedName('prefix', options.prefix, 'escher'),
      checkedName('name', options.name, 'executions'),
    )
    this.#connections = new Connections(options.connection)
    const client = this.#connections.open()
    defineScripts(client)
    this.#store = new Store(client, this.#names)
    const bells = new Bells(this.#connections.open('listening'))
    this.#answers = new Answers(this.#connections, acceptTimeoutMs)
    this.#submitter = new Submitter(this.#store, options.telemetry)
    this.#logs = new LogReader(this.#store, bells)
    const source = { store: this.#store, bells }
    const submitter = this.#submitter
    const canceller = new Canceller(this.#store, submitter)
    this.#driving = new Driving({ source, submitter, canceller, lines: client, warn: emitWarning }, this.#connections)
    const [connections, answers, driving] = [this.#connections, this.#answers, this.#driving]
    this.#runs = new Runs({ source, connections, answers, submitter, canceller, driving })
  }

  /** What the keys of BullMQ begin with: the `prefix` of a `Queue` of BullMQ for the same jobs. */
  get keyPrefix(): string {
    return this.#names.bullmq
  }

  /** The name of the queue of BullMQ in which requests with these labels wait. */
  queueName(labels: readonly string[] = []): string {
    return this.#names.queueOf(checkedLabels(labels, 'VALIDATION'))
  }

  /**
   * Submits a request, and resolves with its id once Redis has acknowledged it. With callbacks, and as long as this process
   * is there, the command is held back when they fall behind.
   *
   * Rejects with `VALIDATION`; `DUPLICATE_ID` for the id of another request; `IO` when Redis does not acknowledge it in
   * time: submitting the same id again is safe then; or `SHUT_DOWN`.
   */
  async execute(request: QueueRequest, options?: ExecuteOptions): Promise<string> {
    const checked = checkedOptions(options, false)
    return this.#runs.execute(prepareRequest(request, this.#names, this.#limits), checked)
  }

  /**
   * Submits a request, and waits for its end. Rejects as {@link QueueEngine.execute} does, and with `SHUT_DOWN` when this
   * engine is shut down meanwhile; whatever happens to the process, and to its worker, is in the result.
   */
  run(
    request: QueueRequest,
    options: RunOptions & { readonly throwOnFailure: true },
  ): Promise<Extract<ExecutionResult, { success: true }>>
  run(request: QueueRequest, options?: RunOptions): Promise<ExecutionResult>
  async run(request: QueueRequest, options?: RunOptions): Promise<ExecutionResult> {
    const checked = checkedOptions(options, true)
    return this.#runs.run(prepareRequest(request, this.#names, this.#limits), checked)
  }

  /**
   * Submits a request when the first event is asked for, and yields its events; the last one is the terminal event. Output
   * that is not taken is held back in the command. Leaving the loop early cancels the execution.
   *
   * The loop throws as {@link QueueEngine.execute} rejects.
   */
  stream(
    request: QueueRequest,
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<ExecutionEvent, void, undefined> {
    return this.#runs.stream(() => {
      const signal = checkedSignal(options)
      return { signal, prepared: prepareRequest(request, this.#names, this.#limits) }
    })
  }

  /**
   * The events of an execution that was submitted before, by whomever, from this call on; the last one is the terminal
   * event. Lines that are not taken are held back in the command. Leaving the loop lets the execution go on.
   *
   * The loop throws an `ExecutionError` `NOT_FOUND`, or `VALIDATION` if `id` is no UUID.
   */
  subscribe(id: string): AsyncGenerator<ExecutionEvent, void, undefined> {
    try {
      return this.#runs.subscribe(checkedId(id))
    } catch (error) {
      return new Feed(failing(error), () => {})
    }
  }

  /** Submits a plan, and resolves with its id once Redis has acknowledged it. Rejects as {@link QueueEngine.execute}. */
  async executePlan(plan: QueuePlan, options?: PlanOptions): Promise<string> {
    const checked = checkedOptions(options, false)
    return this.#runs.executePlan(preparePlan(plan, this.#names, this.#limits, this.#isSpread), checked)
  }

  /** Submits a plan, and waits for its end. Rejects as {@link QueueEngine.run}. */
  async runPlan(plan: QueuePlan, options?: PlanOptions): Promise<PlanExecutionResult> {
    const checked = checkedOptions(options, false)
    return this.#runs.runPlan(preparePlan(plan, this.#names, this.#limits, this.#isSpread), checked)
  }

  /** Where an execution or a plan stands. Rejects with `NOT_FOUND`, `VALIDATION` or `IO`. */
  async getStatus(id: string): Promise<ExecutionStatus> {
    const checked = checkedId(id)
    const fields = await this.#answers.of(() => this.#store.about(checked), { id: checked })
    if (fields === undefined) throw notFound(checked)
    return statusOf(fields)
  }

  /** How an execution ended. Rejects with `NOT_FINISHED`, `NOT_FOUND`, `VALIDATION` or `IO`. */
  async getResult(id: string): Promise<ExecutionResult> {
    const checked = checkedId(id)
    return this.#answers.of(async () => resultOf((await this.#ended(checked, 'execution')) as StoredResult), {
      id: checked,
    })
  }

  /** Waits for the end of an execution. Rejects with `NOT_FOUND`, `VALIDATION`, `IO` or `SHUT_DOWN`. */
  async waitForCompletion(id: string): Promise<ExecutionResult> {
    const checked = checkedId(id)
    await this.#untilEnd(checked, 'execution')
    return this.getResult(checked)
  }

  /** How a plan ended. Rejects with `NOT_FINISHED`, `NOT_FOUND`, `VALIDATION` or `IO`. */
  async getPlanResult(planId: string): Promise<PlanExecutionResult> {
    const checked = checkedId(planId, 'planId')
    return this.#answers.of(
      async () => {
        await this.#ended(checked, 'plan')
        return (await planEnd(this.#store, checked)).result
      },
      { id: checked },
    )
  }

  /** Waits for the end of a plan. Rejects with `NOT_FOUND`, `VALIDATION`, `IO` or `SHUT_DOWN`. */
  async waitForPlan(planId: string): Promise<PlanExecutionResult> {
    const checked = checkedId(planId, 'planId')
    await this.#untilEnd(checked, 'plan')
    return this.getPlanResult(checked)
  }

  /** The executions that the queue remembers, newest first: all of them, or those that the filter means. */
  async listExecutions(filter?: ExecutionFilter): Promise<ExecutionSummary[]> {
    const checked = checkedFilter(filter)
    return this.#answers.of(() => listed(this.#store, checked))
  }

  /**
   * Cancels an execution or a plan, and resolves once nothing of it is left running. What waits never starts. Rejects with
   * `ALREADY_FINISHED`, `NOT_FOUND`, `VALIDATION`, `IO` or `SHUT_DOWN`.
   */
  async cancel(id: string, reason?: string): Promise<void> {
    const checked = checkedId(id)
    await this.#runs.cancel(checked, checkedReason(reason))
  }

  /**
   * Some lines of an execution, as it prints them: at most `limit` of them (1000), from the offset `from` on (0), or from the
   * line with the number `fromLine` on, its first being 0. The queue keeps the last megabyte of each, until five minutes after
   * its end. Where there is no line with that number yet, the page is empty, and its `next` is where the log ends so far.
   *
   * Rejects with `NOT_FOUND`; `VALIDATION`; or `IO` if lines that were to be read are no longer kept.
   */
  async readLogLines(id: string, options?: LogPageOptions): Promise<LogPage> {
    const checked = checkedId(id)
    const page = checkedPage(options)
    return this.#answers.of(() => this.#logs.page(checked, page), { id: checked })
  }

  /**
   * Yields the lines of an execution from the offset `from` on, and those that come, each once and in order, until it has
   * ended. A slow loop does not hold the command up; where lines are no longer kept when it comes to them, it throws `IO`,
   * and says from where it may go on. Aborting `signal` ends the loop, without an error.
   *
   * An id that nobody has submitted yet, and one that the queue has forgotten, is `NOT_FOUND`; with `wait` the loop waits until
   * somebody submits it, for as long as that takes. `SHUT_DOWN` is thrown where the engine is shut down before the loop has
   * found the execution; one that has found it ends. The id of a plan is `NOT_FOUND` in any case, as only its steps have lines.
   */
  followLogs(id: string, options?: FollowLogsOptions): AsyncGenerator<LogLine, void, undefined> {
    const left = new AbortController()
    return new Feed(this.#followed(id, options, left), () => left.abort())
  }

  async *#followed(id: string, options: unknown, left: AbortController): AsyncGenerator<LogLine, void, undefined> {
    if (this.#answers.isShutDown) throw shutDown()
    const checked = checkedId(id)
    const { from = 0, wait = false, signal } = checkedFollow(options)
    if (signal?.aborted === true) return
    const leave = (): void => left.abort()
    const forget = signal && onAbort(signal, leave)
    const release = this.#connections.hold()
    this.#following.add(leave)
    try {
      const known = await this.#known(checked, wait, left.signal)
      if (!left.signal.aborted) yield* this.#logs.follow(checked, known, { from, left: left.signal })
      else if (this.#answers.isShutDown) throw shutDown()
    } catch (error) {
      throw this.#answers.failed(error, { id: checked })
    } finally {
      forget?.()
      release()
      this.#following.delete(leave)
    }
  }

  /** What is known of an id; with `wait`, once something is. It is not waited for once that is left. */
  async #known(id: string, wait: boolean, left: AbortSignal): Promise<Fields | undefined> {
    const asked = this.#answers.of(() => this.#store.about(id), { id })
    const known = await unlessAborted(left, asked)
    return known !== undefined || !wait || left.aborted ? known : this.#logs.known(id, left)
  }

  /**
   * Closes the connections. Loops over events and lines end, and promises that wait reject with `SHUT_DOWN`; what was
   * accepted runs on. Calling it again is allowed.
   */
  async shutdown(): Promise<void> {
    if (this.#answers.isShutDown) return
    this.#answers.isShutDown = true
    this.#runs.close()
    this.#driving.close()
    for (const leave of this.#following) leave()
    // First, as what closes a queue of BullMQ may wait for a Redis that is not there.
    this.#connections.close()
    await this.#submitter.close()
  }

  /** The same as {@link QueueEngine.shutdown}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown()
  }

  /** The end of an execution or a plan, as it is stored. */
  async #ended(id: string, kind: 'execution' | 'plan'): Promise<unknown> {
    const json = await this.#store.result(id)
    if (json !== undefined) {
      const stored = JSON.parse(json) as { readonly kind: string }
      if (stored.kind === kind) return stored
      throw notFound(id, kind)
    }
    const fields = await this.#store.about(id)
    if (fields?.['kind'] !== kind) throw notFound(id, kind)
    throw new ExecutionError('NOT_FINISHED', `the ${kind} ${id} has not finished yet`, { executionId: id })
  }

  async #untilEnd(id: string, kind: 'execution' | 'plan'): Promise<void> {
    const fields = await this.#answers.of(() => this.#store.about(id), { id })
    if (fields?.['kind'] !== kind) throw notFound(id, kind)
    await this.#runs.untilEnd(id)
  }
}

// oxlint-disable-next-line require-yield -- a loop that throws at once
async function* failing(error: unknown): AsyncGenerator<never, void, undefined> {
  throw error
}
