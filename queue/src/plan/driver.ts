import type { ExecutionPlan } from '@escher-dbai/execution-engine'
import type { Canceller } from '../client/canceller'
import type { Source } from '../client/reading'
import type { Submitter } from '../client/submitter'
import type { Client } from '../redis/connections'
import { insist } from '../redis/errors'
import type { Claimed } from '../redis/store'
import type { StoredPlanResult } from '../request/results'
import type { WaitingPlan } from '../request/wire'
import { LineWriter } from '../worker/line-writer'
import { SpreadDrive } from './spread-drive'

/** What whoever drives plans has for that. */
export interface DriverParts {
  readonly source: Source
  readonly lines: Client
  readonly submitter: Submitter
  readonly canceller: Canceller
  /** Tells the operator. */
  readonly warn: (message: string) => void
}

/** Drives a plan that was claimed to its end, and writes that. */
export class PlanDriver {
  readonly #parts: DriverParts
  readonly #data: WaitingPlan
  readonly #claim: Claimed
  readonly #writer: LineWriter
  readonly #drive: SpreadDrive
  readonly #stopped = new AbortController()

  constructor(parts: DriverParts, about: { data: WaitingPlan; plan: ExecutionPlan; claim: Claimed }) {
    const { source, lines } = parts
    const { data, claim } = about
    this.#parts = parts
    this.#data = data
    this.#claim = claim
    this.#writer = new LineWriter(lines, source.store.names, {
      id: data.id,
      run: claim.run,
      lines: claim.lines,
      warn: parts.warn,
    })
    this.#drive = new SpreadDrive({ ...parts, writer: this.#writer }, about)
  }

  /** How it has ended; `undefined`: somebody else drives it now. Rejects when it was stopped, or cannot go on. */
  async run(): Promise<StoredPlanResult | undefined> {
    const { bells, store } = this.#parts.source
    const { id } = this.#data
    const insisting = { closed: this.#stopped.signal, warn: this.#parts.warn }
    const leave = await bells.listen(store.names.control(id), (message) => {
      if (message === undefined || message === 'ack') this.#writer.look()
      if (message !== 'ack') this.look()
    })
    try {
      await insist(insisting, () => this.#look())
      const stored = await this.#drive.result()
      const { status } = stored.result
      const { run } = this.#claim
      const { totalDurationMs: durationMs } = stored.result
      const json = JSON.stringify(stored)
      const end = { id, run, status, durationMs, result: json, lines: stored.lines }
      const answer = await insist(insisting, () => store.settle(end))
      if (answer.state === 'known') return JSON.parse(answer.result) as StoredPlanResult
      return answer.state === 'settled' ? stored : undefined
    } finally {
      leave()
      this.stop()
    }
  }

  /** Looks whether a cancel was asked for. */
  look(): void {
    // The connection is down or closed: whoever asked is heard at the next look.
    this.#look().catch(() => {})
  }

  async #look(): Promise<void> {
    const found = await this.#parts.source.store.cancellation(this.#data.id)
    if (found !== undefined) this.#drive.cancel(found.reason)
  }

  /** Drives it no longer. What runs goes on, and somebody else may drive it. */
  stop(): void {
    this.#stopped.abort()
    this.#writer.giveUp()
    this.#drive.stop()
  }
}
