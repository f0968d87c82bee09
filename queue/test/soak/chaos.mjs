// What happens to the workers of the soak, at random: each goes through a network of its own.

import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '../support/proxy.mjs'
import { WorkerProcess } from '../support/workers.mjs'

/** @typedef {import('../support/proxy.mjs').Proxy} Proxy */
/** @typedef {import('@escher-dbai/execution-queue').ExecutionWorkerOptions} Options */

/** The longest trouble: longer than a lease, and than a lock. */
const LONGEST_MS = 6000

/**
 * A worker whose process is replaced whenever it has ended, and that has trouble now and then.
 */
export class TroubledWorker {
  /** @type {Proxy} */
  #proxy
  /** @type {Omit<Options, 'connection'>} */
  #options
  /** @type {() => number} */
  #next
  /** @type {boolean} */
  #stops
  /** @type {WorkerProcess} */
  #process
  #ended = new AbortController()
  /** @type {Promise<void>} */
  #life

  /**
   * @param {Proxy} proxy
   * @param {Omit<Options, 'connection'>} options
   * @param {() => number} next
   * @param {boolean} stops
   * @param {Map<string, number>} counts
   * @param {number} everyMs
   */
  constructor(proxy, options, next, stops, counts, everyMs) {
    this.#proxy = proxy
    this.#options = options
    this.#next = next
    this.#stops = stops
    this.counts = counts
    this.everyMs = everyMs
    this.#process = this.#start()
    this.#life = this.#live()
  }

  #start() {
    return new WorkerProcess({ ...this.#options, connection: this.#proxy.connection })
  }

  /** Some time, or less if the trouble is over. @param {number} ms */
  async #for(ms) {
    await sleep(ms, undefined, { signal: this.#ended.signal }).catch(() => {})
  }

  /** @returns {[name: string, trouble: () => Promise<void>][]} */
  #troubles() {
    const some = () => 100 + this.#next() ** 2 * LONGEST_MS
    /** @type {[name: string, trouble: () => Promise<void>][]} */
    const troubles = [
      ['killed', () => this.#process.kill()],
      ['killed', () => this.#process.kill()],
      ['drained', () => Promise.race([this.#process.drain(), this.#for(LONGEST_MS)])],
      ['abandoned', () => Promise.race([this.#process.abandon(), this.#for(LONGEST_MS)])],
      ['blocked', () => this.#process.block(some())],
      ['blocked', () => this.#process.block(some())],
      ['dropped', async () => this.#proxy.drop()],
      ['cut', () => this.#during(some(), () => this.#proxy.cut())],
      ['stalled', () => this.#during(some(), () => this.#proxy.stall())],
    ]
    if (this.#stops) {
      const stop = async () => {
        await this.#process.stop()
        await this.#for(some())
        this.#process.resume()
      }
      troubles.push(['stopped', stop], ['stopped', stop], ['stopped', stop])
    }
    return troubles
  }

  /** @param {number} ms @param {() => void} trouble */
  async #during(ms, trouble) {
    trouble()
    await this.#for(ms)
    this.#proxy.heal()
  }

  async #live() {
    while (!this.#ended.signal.aborted) {
      await this.#for(this.everyMs * (0.2 + 1.6 * this.#next()))
      if (this.#ended.signal.aborted) break
      const troubles = this.#troubles()
      const [name, trouble] = troubles[Math.floor(this.#next() * troubles.length)] ?? ['', async () => {}]
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
      // Who ends in the middle of a trouble is replaced as any other.
      await trouble().catch(() => {})
      if (this.#process.isAlive) continue
      await this.#for(this.#next() * 1000)
      this.#process = this.#start()
    }
    this.#proxy.heal()
    if (!this.#process.isAlive) this.#process = this.#start()
  }

  /** Nothing happens to it any more. */
  async calm() {
    this.#ended.abort()
    await this.#life
  }

  /** Waits until it has done what it has, and ends it. Resolves with what it complained of, if it did not end well. */
  async close() {
    await this.calm()
    const late = sleep(20_000, 'late', { ref: false })
    const how = await Promise.race([this.#process.drain().catch((error) => error), late])
    await this.#process.kill()
    await this.#proxy.close()
    return how === undefined ? undefined : `a worker has not ended by itself: ${how}\n${this.#process.complaints}`
  }
}

/**
 * @param {number} count
 * @param {number} port
 * @param {Omit<Options, 'connection'>} options
 * @param {() => number} next
 * @param {{ stops: boolean, everyMs: number, counts: Map<string, number> }} how
 */
export function startWorkers(count, port, options, next, { stops, everyMs, counts }) {
  return Promise.all(
    Array.from(
      { length: count },
      async () => new TroubledWorker(await startProxy(port), options, next, stops, counts, everyMs),
    ),
  )
}
