/** How many executions run at once. */
export class Slots {
  readonly #total: number
  readonly #waiting: ((slot: (() => void) | undefined) => void)[] = []
  #taken = 0
  #isClosed = false
  #onIdle: (() => void)[] = []

  constructor(total: number) {
    this.#total = total
  }

  get taken(): number {
    return this.#taken
  }

  get isFull(): boolean {
    return this.#taken >= this.#total
  }

  /** A slot, once there is one: what gives it back. `undefined`: none is given any more. */
  take(): Promise<(() => void) | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined)
    if (!this.isFull) return Promise.resolve(this.#give())
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #give(): () => void {
    this.#taken += 1
    let isTaken = true
    return () => {
      if (!isTaken) return
      isTaken = false
      this.#taken -= 1
      if (!this.isFull) this.#waiting.shift()?.(this.#give())
      if (this.#taken === 0) for (const idle of this.#onIdle.splice(0)) idle()
    }
  }

  /** Gives none any more. */
  close(): void {
    this.#isClosed = true
    for (const waiting of this.#waiting.splice(0)) waiting(undefined)
  }

  /** Resolves once all were given back. */
  idle(): Promise<void> {
    return this.#taken === 0 ? Promise.resolve() : new Promise((resolve) => this.#onIdle.push(resolve))
  }
}
