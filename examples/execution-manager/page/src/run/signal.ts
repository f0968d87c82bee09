/** Tells its listeners, once a frame at most; of a page that is not seen, a few times a second. */
export class Signal {
  readonly #listeners = new Set<() => void>()
  #due = false

  on = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(): void {
    if (this.#due) return
    this.#due = true
    const tell = (): void => {
      this.#due = false
      for (const listener of this.#listeners) listener()
    }
    if (document.visibilityState === 'visible') requestAnimationFrame(tell)
    else setTimeout(tell, 250)
  }
}
