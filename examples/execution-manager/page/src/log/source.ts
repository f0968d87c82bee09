import type { Lines } from './lines.js'

export interface Place {
  readonly step: string
  /** Which line of the step. */
  readonly index: number
}

/** What a list shows: lines from `first` to before `end`, each of which is one of a step. */
export interface Source {
  readonly first: number
  readonly end: number
  readonly steps: 'one' | 'many'
  at(index: number): Place | undefined
}

export class OneStep implements Source {
  readonly first = 0
  readonly steps = 'one'

  constructor(
    private readonly lines: Lines,
    readonly step: string,
  ) {}

  get end(): number {
    return this.lines.count(this.step)
  }

  at(index: number): Place {
    return { step: this.step, index }
  }
}

interface Stretch {
  readonly step: string
  readonly from: number
  /** The index of its first line among all. */
  readonly start: number
}

const MAX_STRETCHES = 20_000

/** All steps in the order in which their lines came. So many turns from one step to another are remembered as fit. */
export class AllSteps implements Source {
  readonly steps = 'many'
  #stretches: Stretch[] = []
  #end = 0

  get first(): number {
    return this.#stretches[0]?.start ?? 0
  }

  get end(): number {
    return this.#end
  }

  add(step: string, from: number, count: number): void {
    if (count <= 0) return
    const last = this.#stretches.at(-1)
    const goesOn = last?.step === step && last.from + (this.#end - last.start) === from
    if (!goesOn) this.#stretches.push({ step, from, start: this.#end })
    this.#end += count
    if (this.#stretches.length > MAX_STRETCHES) this.#stretches = this.#stretches.slice(MAX_STRETCHES / 10)
  }

  at(index: number): Place | undefined {
    if (index < this.first || index >= this.#end) return undefined
    let low = 0
    let high = this.#stretches.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#stretches[middle]?.start ?? 0) <= index) low = middle
      else high = middle - 1
    }
    const found = this.#stretches[low]
    return found && { step: found.step, index: found.from + index - found.start }
  }
}
