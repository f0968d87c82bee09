import { randomUUID } from 'node:crypto'
import type { ExecutionPlan } from '@escher-dbai/execution-engine'
import { PlanDriver } from '../plan/driver'
import type { DriverParts } from '../plan/driver'
import type { Connections } from '../redis/connections'
import { insist } from '../redis/errors'
import type { WaitingPlan } from '../request/wire'

/** How long who drives a plan is taken for present without a word of it, in milliseconds. */
export const PRESENT_MS = 30_000
/** How often it says a word, in milliseconds. */
const REFRESH_MS = 10_000

/** Drives the plans whose steps this process has to make: functions cannot be sent. */
export class Driving {
  readonly #parts: DriverParts
  readonly #connections: Connections
  readonly #drivers = new Set<PlanDriver>()
  readonly #closed = new AbortController()

  constructor(parts: DriverParts, connections: Connections) {
    this.#parts = parts
    this.#connections = connections
  }

  /**
   * Drives a plan to its end. Whoever drove it before, drives it no longer. Rejects if it cannot go on, but not when it was
   * closed: whoever submits the plan again goes on with it.
   */
  async drive(data: WaitingPlan, plan: ExecutionPlan): Promise<void> {
    const release = this.#connections.hold()
    const { store } = this.#parts.source
    let driver: PlanDriver | undefined
    let timer: NodeJS.Timeout | undefined
    try {
      const insisting = { closed: this.#closed.signal, warn: this.#parts.warn }
      const token = randomUUID()
      const claim = await insist(insisting, () => store.claim(data.id, token, PRESENT_MS))
      if (claim.state === 'finished' || claim.state === 'unknown') return
      driver = new PlanDriver(this.#parts, { data, plan, claim })
      this.#drivers.add(driver)
      // One word that is not heard is followed by others.
      timer = setInterval(() => void store.present(data.id, token, PRESENT_MS).catch(() => {}), REFRESH_MS)
      await driver.run()
    } catch (error) {
      if (!this.#closed.signal.aborted) throw error
    } finally {
      clearInterval(timer)
      if (driver !== undefined) this.#drivers.delete(driver)
      release()
    }
  }

  close(): void {
    this.#closed.abort()
    for (const driver of this.#drivers) driver.stop()
  }
}
