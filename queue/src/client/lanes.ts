type Pending = Promise<void> | undefined

/** A batch of what is told, which is taken once all of it was. */
interface Batch {
  readonly taken: () => void
  open: number
}

/**
 * Lets what is told of one step wait for what was told of it before, and for no other's. What need not wait is told at once,
 * so that the order of all is kept where no callback has returned a promise.
 */
export class Lanes {
  readonly #lanes = new Map<string, Promise<void>>()
  readonly #batches: Batch[] = []

  begin(taken: () => void): void {
    this.#batches.push({ taken, open: 1 })
  }

  run(lane: string, tell: () => Pending): void {
    const before = this.#lanes.get(lane)
    const pending = before === undefined ? tell() : before.then(tell)
    if (pending === undefined) return
    const batch = this.#batches.at(-1)
    if (batch !== undefined) batch.open += 1
    const whole = pending.then(() => {
      if (this.#lanes.get(lane) === whole) this.#lanes.delete(lane)
      if (batch !== undefined) this.#done(batch)
    })
    this.#lanes.set(lane, whole)
  }

  end(): void {
    const batch = this.#batches.at(-1)
    if (batch !== undefined) this.#done(batch)
  }

  /** Batches are taken in their order. */
  #done(batch: Batch): void {
    batch.open -= 1
    while (this.#batches[0]?.open === 0) this.#batches.shift()?.taken()
  }

  get isEmpty(): boolean {
    return this.#lanes.size === 0
  }

  /** Resolves once everything was told. */
  async empty(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all(this.#lanes.values())
  }
}
