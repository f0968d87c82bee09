import type { ExecutionResult, PlanExecutionResult, Result } from '@escher-dbai/execution-engine'
import type { Bells } from './bells'
import type { About, AnyEvent } from './delivery'
import { linesIn } from '../lines/entry'
import type { Entry, Item } from '../lines/entry'
import type { Fields, Store } from '../redis/store'
import { notFound, shutDown } from '../errors'
import { planResultOf, resultOf } from '../request/results'
import type { Stored, StoredResult } from '../request/results'
import { Tail } from './tail'

/** What a reading needs of the engine. */
export interface Source {
  readonly store: Store
  readonly bells: Bells
}

/** Whose stream is read, and from where. */
export interface ReadingOptions {
  readonly id: string
  readonly kind: 'execution' | 'plan'
  /** The plan in whose stream it is, of a step of a plan that one worker runs as a whole. */
  readonly within?: string | undefined
  readonly about: About
  /** The entry behind which it begins; absent: the beginning. */
  readonly after?: string | undefined
  /** The name under which it holds the command back; absent: it does not. */
  readonly reader?: string | undefined
}

/** What an event tells of its execution, as it is stored. */
export const aboutOf = (id: string, fields: Fields): About => ({
  executionId: id,
  metadata: metadataOf(fields),
  planId: fields['planId'] ?? null,
  step: fields['step'] === undefined ? null : (JSON.parse(fields['step']) as string | number),
})

export const metadataOf = (fields: Fields): Result['metadata'] =>
  fields['metadata'] === undefined ? { tags: {} } : (JSON.parse(fields['metadata']) as Result['metadata'])

/** A piece of what was read, and what it is of. */
export interface Told {
  readonly about: About
  readonly item: Item
}

/** An entry of a stream. */
export interface Batch {
  readonly entry: Entry
  readonly told: readonly Told[]
  /** It was taken, and all before it. */
  taken(): void
}

/** Reads what an execution or a plan prints and tells, to its end. */
export class Reading {
  readonly #source: Source
  readonly #options: ReadingOptions
  readonly #tail: Tail
  /** The steps of a plan that were told of. */
  readonly #steps = new Map<string, Promise<About>>()
  /** How many lines are before the next entry; unknown before the first one of a reading that begins somewhere. */
  #expected: number | undefined
  /** Lines that were not kept until they were read. */
  lost = 0
  /** Lines were not told, as a callback had not returned. */
  isUntold = false

  constructor(source: Source, options: ReadingOptions) {
    const { id, within, after = '0-0', reader } = options
    this.#source = source
    this.#options = options
    this.#expected = options.after === undefined ? 0 : undefined
    this.#tail = new Tail(source.store, { id, stream: within ?? id, after, reader })
  }

  get about(): About {
    return this.#options.about
  }

  /** Waits for the end, whatever is told until then. */
  async untilEnd(): Promise<void> {
    const { store, bells } = this.#source
    const { id } = this.#options
    if (await this.#tail.ended(bells, store.names.bell(id))) return
    throw shutDown()
  }

  attend(): Promise<void> {
    return this.#tail.attend()
  }

  close(): void {
    this.#tail.close()
  }

  /**
   * What is told, piece by piece, the ends of steps included; a piece is taken once the next one is asked for. Returns
   * whether it has ended, or was closed before.
   */
  async *told(): AsyncGenerator<Told, 'ended' | 'closed', undefined> {
    const batches = this.batches()
    for (;;) {
      const step = await batches.next()
      if (step.done === true) return step.value
      yield* step.value.told
      step.value.taken()
    }
  }

  /** What is told, entry by entry; each is to be taken, in this order. */
  async *batches(): AsyncGenerator<Batch, 'ended' | 'closed', undefined> {
    await this.#tail.attend()
    await this.#tail.open(this.#source.bells)
    for (;;) {
      const read = await this.#tail.next()
      if (read === 'closed') return read
      if (read === 'gone') return this.#gone()
      for (const entry of read) {
        const { told, isEnd } = await this.#batchOf(entry)
        yield { told, entry, taken: () => this.#tail.taken(entry) }
        if (isEnd) return 'ended'
      }
    }
  }

  async #batchOf(entry: Entry): Promise<{ told: readonly Told[]; isEnd: boolean }> {
    const { id, kind, within, about } = this.#options
    const missed = entry.before - (this.#expected ?? entry.before)
    if (missed > 0) this.lost += missed
    this.#expected = entry.before
    const told: Told[] = []
    for (const item of entry.items) {
      this.#expected += linesIn(item)
      const isOwn = within === undefined ? item.of === null : item.of === id
      if (item.kind === 'end' && isOwn) return { told, isEnd: true }
      if (isOwn) told.push({ about, item })
      else if (kind === 'plan' && item.of !== null) told.push({ about: await this.#step(item.of), item })
    }
    return { told, isEnd: false }
  }

  /** It has ended, and its stream is not kept any more. */
  async #gone(): Promise<'ended'> {
    const stored = await this.#stored(this.#options.id)
    // Of a step in the stream of its plan nobody has counted them.
    if (this.#expected !== undefined && this.#options.within === undefined) {
      this.lost += Math.max(stored.lines - this.#expected, 0)
    }
    return 'ended'
  }

  async #step(id: string): Promise<About> {
    const known = this.#steps.get(id)
    if (known !== undefined) return known
    const asked = this.#source.store.about(id).then((fields) => aboutOf(id, fields ?? {}))
    this.#steps.set(id, asked)
    return asked
  }

  async #stored(id: string): Promise<Stored> {
    const json = await this.#source.store.result(id)
    if (json === undefined) throw notFound(id)
    return JSON.parse(json) as Stored
  }

  /** The last event of an execution. */
  async endOf(id: string, about: About): Promise<AnyEvent> {
    const result = await this.result(id)
    // The type of a terminal event is the status of its result.
    return { eventType: result.status, ...about, result, timestamp: result.completedAt } as AnyEvent
  }

  async result(id = this.#options.id): Promise<ExecutionResult> {
    const stored = await this.#stored(id)
    if (stored.kind !== 'execution') throw notFound(id, 'execution')
    return id === this.#options.id ? resultOf(stored, { lost: this.lost, isUntold: this.isUntold }) : resultOf(stored)
  }

  /** Whether it was ended by somebody or something else than itself. */
  async wasStopped(): Promise<boolean> {
    const { result } = await this.#stored(this.#options.id)
    return result.status === 'cancelled' || result.status === 'timeout'
  }

  planEnd(): Promise<PlanEnd> {
    return planEnd(this.#source.store, this.#options.id)
  }
}

export interface PlanEnd {
  readonly result: PlanExecutionResult
  readonly completedAt: string
}

/** How a plan ended, with the results of its steps. */
export async function planEnd(store: Store, id: string): Promise<PlanEnd> {
  const json = await store.result(id)
  const stored = json === undefined ? undefined : (JSON.parse(json) as Stored)
  if (stored?.kind !== 'plan') throw notFound(id, 'plan')
  const results = []
  for (const step of stored.steps) {
    const found = await store.result(step)
    if (found === undefined) throw notFound(step, 'step')
    results.push(resultOf(JSON.parse(found) as StoredResult))
  }
  return { result: planResultOf(stored, results), completedAt: stored.completedAt }
}
