import { PlanDriver } from '../plan/driver'
import type { DriverParts } from '../plan/driver'
import type { Claimed } from '../redis/store'
import { decodeStored } from '../request/decode'
import type { WaitingPlan } from '../request/wire'
import type { Taken } from './job-source'
import type { Outcome, Runner } from './run'

/** Drives a plan whose steps wait for workers of their own. It is no loss when its worker is: another one goes on with it. */
export class SpreadRun implements Runner {
  readonly #job: Taken
  readonly #driver: PlanDriver
  #resolveOver: () => void = () => {}
  readonly over = new Promise<void>((resolve) => (this.#resolveOver = resolve))

  constructor(parts: DriverParts, job: Taken, claim: Claimed, data: WaitingPlan) {
    this.#job = job
    this.#driver = new PlanDriver(parts, { data, claim, plan: decodeStored(data.plan) })
  }

  renewed(): void {
    this.#driver.look()
  }

  lost(): void {
    this.#driver.stop()
  }

  abandon(): void {
    this.#driver.stop()
  }

  /** What runs is others'. */
  async stopped(): Promise<void> {}

  async whole(): Promise<Outcome> {
    try {
      const stored = await this.#driver.run()
      return stored === undefined ? { kind: 'gone' } : { kind: 'ended', stored, isOwn: true }
    } catch {
      // It was stopped. Without a lock there is nothing to be given back: it is found when it has stalled.
      await this.#job.giveBack().catch(() => {})
      return { kind: 'given back' }
    } finally {
      this.#resolveOver()
    }
  }
}
