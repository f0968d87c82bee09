import { randomUUID } from 'node:crypto'
import type { ExecutionPlan } from '@escher-dbai/execution-engine'
import { PlanDriver } from '../plan/driver'
import type { DriverParts } from '../plan/driver'
import type { Connections } from '../redis/connections'
import type { WaitingPlan } from '../request/wire'

/** Drives the plans whose steps this process has to make: functions cannot be sent. */
export class Driving {
  readonly #parts: DriverParts
  readonly #connections: Connections
  readonly #drivers = new Set<PlanDriver>()

  constructor(parts: DriverParts, connections: Connections) {
    this.#parts = parts
    this.#connections = connections
  }

  /** Drives a plan to its end. Whoever drove it before, drives it no longer. */
  async drive(data: WaitingPlan, plan: ExecutionPlan): Promise<void> {
    const release = this.#connections.hold()
    let driver: PlanDriver | undefined
    try {
      const claim = await this.#parts.source.store.claim(data.id, randomUUID())
      if (claim.state === 'finished' || claim.state === 'unknown') return
      driver = new PlanDriver(this.#parts, { data, plan, claim })
      this.#drivers.add(driver)
      await driver.run()
    } catch {
      // It was shut down. Whoever submits the plan again goes on with it.
    } finally {
      if (driver !== undefined) this.#drivers.delete(driver)
      release()
    }
  }

  close(): void {
    for (const driver of this.#drivers) driver.stop()
  }
}
