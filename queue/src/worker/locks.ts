import type { JobSource } from './job-source'

/** The lock of a job that is run. */
export interface Lock {
  readonly source: JobSource
  readonly jobId: string
  readonly token: string
  /** How often it is renewed, in milliseconds. */
  readonly everyMs: number
  /** For how long it is ours when it has just been renewed. */
  readonly leaseMs: number
  /** It was renewed, by a command that was sent then. */
  renewed(sentAt: number): void
  /** It is not ours any more. */
  lost(): void
}

interface Held {
  readonly lock: Lock
  /** When the last renewal that succeeded was sent. */
  since: number
  /** When the next one is due. */
  due: number
  isPending: boolean
}

/** How long after an error a lock is renewed again, in milliseconds. */
const RETRY_MS = 500

/** Renews the locks of all jobs that are run. */
export class Locks {
  readonly #durationMs: number
  readonly #held = new Map<string, Held>()
  #timer: NodeJS.Timeout | undefined

  constructor(durationMs: number) {
    this.#durationMs = durationMs
  }

  /** Renews a lock from now on. */
  hold(lock: Lock, since: number): void {
    this.#held.set(lock.token, { lock, since, due: since + lock.everyMs, isPending: false })
    this.#schedule()
  }

  release(token: string): void {
    this.#held.delete(token)
    this.#schedule()
  }

  /** Since when it is ours, by `performance.now()`. */
  since(token: string): number | undefined {
    return this.#held.get(token)?.since
  }

  /** Whether each was renewed in time. */
  get isHealthy(): boolean {
    const now = performance.now()
    return [...this.#held.values()].every(({ lock, since }) => now - since < lock.leaseMs)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    let next = Infinity
    for (const { due, isPending } of this.#held.values()) if (!isPending) next = Math.min(next, due)
    if (next < Infinity) this.#timer = setTimeout(() => this.#renew(), Math.max(next - performance.now(), 0))
  }

  /** Renews those that are due, and with them those that are nearly so. */
  #renew(): void {
    const now = performance.now()
    const bySource = new Map<JobSource, Held[]>()
    for (const held of this.#held.values()) {
      if (held.isPending || held.due - held.lock.everyMs / 4 > now) continue
      held.isPending = true
      bySource.set(held.lock.source, [...(bySource.get(held.lock.source) ?? []), held])
    }
    for (const [source, held] of bySource) void this.#extend(source, held)
    this.#schedule()
  }

  async #extend(source: JobSource, all: readonly Held[]): Promise<void> {
    const ids = all.map(({ lock }) => lock.jobId)
    const tokens = all.map(({ lock }) => lock.token)
    const sentAt = performance.now()
    try {
      // A connection that is down holds it back; its answer then counts from when it was sent.
      const lost = new Set(await source.extendJobLocks(ids, tokens, this.#durationMs))
      for (const held of all) this.#answered(held, sentAt, lost.has(held.lock.jobId))
    } catch {
      for (const held of all) held.due = performance.now() + RETRY_MS
    }
    for (const held of all) held.isPending = false
    this.#schedule()
  }

  #answered(held: Held, sentAt: number, isLost: boolean): void {
    const { lock } = held
    // It may have been given back meanwhile.
    if (this.#held.get(lock.token) !== held) return
    if (isLost) {
      this.#held.delete(lock.token)
      lock.lost()
      return
    }
    held.since = sentAt
    held.due = sentAt + lock.everyMs
    lock.renewed(sentAt)
  }
}
