// Rings when something has changed, for those who wait for that.

export class Bell {
  #turn = 0
  readonly #waiting = new Set<() => void>()

  /** How often it has rung: what was seen at a turn is not waited for again. */
  get turn(): number {
    return this.#turn
  }

  ring(): void {
    this.#turn += 1
    for (const wake of this.#waiting) wake()
  }

  /** Resolves once it has rung after `turn`, or the signal is aborted. */
  async after(turn: number, signal: AbortSignal): Promise<void> {
    if (this.#turn > turn || signal.aborted) return
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake)
    })
  }
}
