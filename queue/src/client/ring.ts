import type { Bells } from './bells'
import { unlessAborted } from './abort'

/** Wakes who waits. A ring that comes while nobody waits is heard by who waits next. */
export class Ring {
  #isRung = false
  #wake: () => void = () => {}

  ring(): void {
    this.#isRung = true
    this.#wake()
  }

  /** What has rung before is about to be looked at. */
  clear(): void {
    this.#isRung = false
  }

  /** Resolves once it has rung. */
  async rung(): Promise<void> {
    if (!this.#isRung) await new Promise<void>((resolve) => (this.#wake = resolve))
  }
}

/** What is asked again after each ring of a channel that concerns it. */
export interface Question<T> {
  readonly channel: string
  /** `undefined`: the connection was down, and there may have been any message. */
  readonly concerns: (message: string | undefined) => boolean
  readonly ask: () => Promise<T | undefined>
  /** The answer is not waited for any longer. */
  readonly left: AbortSignal
}

/** The answer to a question, once there is one; `undefined` if it was left before. Rejects if it cannot be asked. */
export async function untilAnswered<T>(bells: Bells, question: Question<T>): Promise<T | undefined> {
  const { channel, concerns, ask, left } = question
  const ring = new Ring()
  // Before it is asked first, so that nothing is missed in between.
  const listening = bells.listen(channel, (message) => {
    if (concerns(message)) ring.ring()
  })
  try {
    await unlessAborted(left, listening)
    while (!left.aborted) {
      ring.clear()
      const answer = await unlessAborted(left, ask())
      if (answer !== undefined) return answer
      await unlessAborted(left, ring.rung())
    }
    return undefined
  } finally {
    listening.then(
      (leave) => leave(),
      () => {},
    )
  }
}
