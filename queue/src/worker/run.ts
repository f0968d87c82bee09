import { setTimeout as delay } from 'node:timers/promises'
import { ExecutionError } from '@escher-dbai/execution-engine'
import { onAbort } from '../client/abort'
import { messageOf } from '../errors'
import { insist } from '../redis/errors'
import type { Cancellation, Claimed } from '../redis/store'
import type { Stored } from '../request/results'
import type { JobData } from '../request/wire'
import type { Taken } from './job-source'
import { LineWriter } from './line-writer'
import { leaseOf, SHORTEST_LEASE_MS } from './workshop'
import type { Workshop } from './workshop'

/** How long a job is kept for which the engine has no slot, in milliseconds. */
const GIVE_BACK_MS = 500

/** What became of a job that was taken. */
export type Outcome =
  /** It has ended, by this worker or before. */
  | { readonly kind: 'ended'; readonly stored: Stored; readonly isOwn: boolean }
  /** It waits again. */
  | { readonly kind: 'given back' }
  /** It is somebody else's now. */
  | { readonly kind: 'gone' }

/** What does the work of a job that was claimed. */
export interface Runner {
  /** Resolves once nothing of it is left here. */
  readonly over: Promise<void>
  /** Runs until it has ended, was given back, or is somebody else's. */
  whole(): Promise<Outcome>
  /** The lock was renewed, by a command that was sent then. */
  renewed(sentAt: number): void
  /** The lock is not ours any more: nothing of it may run. */
  lost(): void
  /** Ends what runs without waiting for it. */
  abandon(): void
  /** Resolves once nothing of it runs any more; its end may not be written yet. */
  stopped(): Promise<unknown>
}

/** One run of an execution or a plan, from its claim to its end. */
export abstract class Run implements Runner {
  readonly #leave: (() => void)[] = []
  #resolveOver: () => void = () => {}
  readonly over = new Promise<void>((resolve) => (this.#resolveOver = resolve))
  protected readonly writer: LineWriter
  /** The engine has it. */
  protected isStarted = false
  /** Settles when the engine has ended it. */
  protected inEngine: Promise<unknown> | undefined
  protected cancellation: Cancellation | undefined
  protected readonly leaseMs: number
  #asks = 0

  constructor(
    protected readonly shop: Workshop,
    protected readonly job: Taken,
    protected readonly claim: Claimed,
    graceMs: number,
  ) {
    const { lines, names } = shop
    this.writer = new LineWriter(lines, names, { id: job.id, run: claim.run, lines: claim.lines, warn: shop.warn })
    this.leaseMs = leaseOf(shop.lockDurationMs, graceMs)
  }

  abstract start(): Promise<Outcome>

  protected get data(): JobData {
    return this.job.data
  }

  renewed(sentAt: number): void {
    if (this.isStarted) {
      const left = Math.floor(this.leaseMs - (performance.now() - sentAt))
      // It may have ended meanwhile.
      this.shop.engine.renewLease(this.job.id, Math.max(left, 1)).catch(() => {})
    }
    void this.look()
  }

  lost(): void {
    if (this.isStarted) this.shop.engine.renewLease(this.job.id, 1).catch(() => {})
  }

  /** The worker is closed, and does not wait for it. */
  protected get isAbandoned(): boolean {
    return this.shop.abandoned.aborted
  }

  abandon(): void {
    if (this.isStarted) this.cancelInEngine(this.job.id, 'the worker was closed')
  }

  async stopped(): Promise<void> {
    await this.inEngine?.catch(() => {})
  }

  async whole(): Promise<Outcome> {
    // Nothing can be written any more.
    this.#leave.push(onAbort(this.shop.closed, () => this.writer.giveUp()))
    try {
      await this.#attend()
      if (this.leaseMs < SHORTEST_LEASE_MS) return await this.refuse(this.#graceProblem())
      return await this.start()
    } finally {
      this.writer.giveUp()
      // It is known from its result; the same id may come again.
      await this.shop.engine.removeExecution(this.job.id).catch(() => {})
      for (const leave of this.#leave.splice(0)) leave()
      this.#resolveOver()
    }
  }

  #graceProblem(): string {
    const { lockDurationMs } = this.shop
    return `terminationGraceMs: expected one that leaves a lease of ${SHORTEST_LEASE_MS} ms of the lock of the worker, ${lockDurationMs} ms, found a longer one`
  }

  /** It ends without having been started. */
  protected abstract refuse(problem: string): Promise<Outcome>

  /** Listens to what is asked, and looks what was asked before. */
  async #attend(): Promise<void> {
    const { bells, names } = this.shop
    const channel = names.control(this.job.id)
    const leave = await bells.listen(channel, (message) => {
      if (message === undefined || message === 'ack') this.writer.look()
      if (message !== 'ack') void this.look(message?.slice('cancel '.length))
    })
    this.#leave.push(leave)
    await this.look()
  }

  /** Looks whether a cancel was asked for; `id` is of what. A message that was lost costs one renewal. */
  protected async look(id?: string): Promise<void> {
    try {
      const asks = await this.shop.store.asks(this.job.id)
      if (asks === this.#asks) return
      this.#asks = asks
      await this.asked(id)
    } catch {
      // The connection is down or closed; the next renewal looks again.
    }
  }

  /** Something was asked for: of this, or of a step. */
  protected async asked(id: string | undefined): Promise<void> {
    if (id !== undefined && id !== this.job.id) return
    const found = await this.shop.store.cancellation(this.job.id)
    if (found === undefined) return
    this.cancellation = found
    if (this.isStarted) this.cancelInEngine(this.job.id, found.reason)
  }

  protected cancelInEngine(id: string, reason: string | undefined): void {
    // What has ended, or was not entered yet, needs none.
    this.shop.engine.cancel(id, reason).catch(() => {})
  }

  /** For how long the engine may run it before the lock is renewed again; nothing if there is no time. */
  protected lease(): number | undefined {
    const since = this.shop.locks.since(this.job.token)
    const left = since === undefined ? 0 : Math.floor(this.leaseMs - (performance.now() - since))
    return left > 0 ? left : undefined
  }

  /** Nothing of it was started: another worker takes it as if this one had not. */
  protected async giveBackUnstarted(): Promise<Outcome> {
    const { store } = this.shop
    await insist(this.shop, () => store.unclaim(this.job.id, this.job.token))
    return this.giveBack()
  }

  protected async giveBack(): Promise<Outcome> {
    // Without a lock there is nothing to be given back: it is found when it has stalled.
    await this.job.giveBack().catch(() => {})
    return { kind: 'given back' }
  }

  /** The engine did not take it. */
  protected async refusedBy(refusal: unknown): Promise<Outcome> {
    const code = refusal instanceof ExecutionError ? refusal.code : 'INTERNAL'
    if (code === 'SHUT_DOWN') {
      this.shop.onShutDown()
      return this.giveBackUnstarted()
    }
    if (code === 'CONCURRENCY_LIMIT_REACHED') {
      // Somebody else has the slots of the engine. At once, it would be taken again at once.
      await delay(GIVE_BACK_MS, undefined, { signal: this.shop.closed }).catch(() => {})
      return this.giveBackUnstarted()
    }
    return this.refuse(messageOf(refusal))
  }

  protected async settle(id: string, stored: Stored, within?: string): Promise<Outcome> {
    const { store } = this.shop
    const { result } = stored
    const durationMs = 'durationMs' in result ? result.durationMs : result.totalDurationMs
    const { status } = result
    const { lines } = stored
    const end = { id, run: this.claim.run, result: JSON.stringify(stored), status, durationMs, lines, within }
    const answer = await insist(this.shop, () => store.settle(end))
    if (answer.state === 'known') return { kind: 'ended', stored: JSON.parse(answer.result) as Stored, isOwn: false }
    return answer.state === 'settled' ? { kind: 'ended', stored, isOwn: true } : { kind: 'gone' }
  }
}
