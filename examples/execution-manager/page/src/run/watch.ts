import type { EventSourceMessage } from 'eventsource-parser'
import type { Static, TSchema } from 'typebox'
import { Check } from 'typebox/value'

import { GapEvent, LinesEvent, Run, Step } from '../../../src/api.js'
import { Lines } from '../log/lines.js'
import { AllSteps, OneStep, type Source } from '../log/source.js'
import { Events, type Connection } from './events.js'
import { eventsPath, linesOf } from './service.js'
import { Signal } from './signal.js'

const RATE_MS = 1_000

/**
 * A run as it is told: its state, its steps, and their lines. Listeners of `changed` learn of states, those of
 * `printed` of lines; both are told once a frame at most.
 */
export class Watch {
  run: Run | undefined
  connection: Connection = { state: 'connecting' }
  readonly lines: Lines
  readonly all = new AllSteps()
  /** What of a message was not understood. */
  fault: string | undefined
  readonly changed = new Signal()
  readonly printed = new Signal()
  readonly #sources = new Map<string, OneStep>()
  readonly #events: Events
  // What is told at first was printed before.
  #rate = { since: performance.now() + RATE_MS, lines: 0, perSecond: 0 }

  constructor(readonly id: string) {
    this.lines = new Lines(
      (step, from, limit) => linesOf(id, step, from, limit),
      () => {
        this.printed.tell()
      },
    )
    this.#events = new Events(eventsPath(id), {
      event: (message) => this.#take(message),
      connection: (connection) => {
        this.connection = connection
        this.changed.tell()
      },
    })
  }

  close(): void {
    this.#events.close()
  }

  retryNow = (): void => {
    this.#events.retryNow()
  }

  step(name: string | undefined): Step | undefined {
    return this.run?.steps.find((step) => step.name === name)
  }

  /** What is to be shown of a step, or of all. */
  source(step: string | undefined): Source {
    if (step === undefined) return this.all
    const source = this.#sources.get(step) ?? new OneStep(this.lines, step)
    this.#sources.set(step, source)
    return source
  }

  /** Lines a second, lately. */
  get rate(): number {
    const elapsed = performance.now() - this.#rate.since
    if (elapsed > RATE_MS) {
      this.#rate = {
        since: performance.now(),
        lines: 0,
        perSecond: Math.round((this.#rate.lines * 1_000) / elapsed),
      }
    }
    return this.#rate.perSecond
  }

  #take({ event, data }: EventSourceMessage): boolean {
    const value: unknown = JSON.parse(data)
    switch (event) {
      case 'run':
      case 'end':
        if (this.#understood(Run, value, event)) this.run = value
        this.changed.tell()
        return event === 'end'
      case 'step':
        if (this.#understood(Step, value, event)) this.#step(value)
        break
      case 'lines':
        if (this.#understood(LinesEvent, value, event)) this.#lines(value)
        break
      case 'gap':
        if (this.#understood(GapEvent, value, event)) this.#reach(value.step, value.to)
        this.printed.tell()
        break
      default:
        break
    }
    return false
  }

  #understood<Schema extends TSchema>(schema: Schema, value: unknown, event: string): value is Static<Schema> {
    if (Check(schema, value)) return true
    this.fault = `An event "${event}" was not understood: reload the page`
    this.changed.tell()
    return false
  }

  #step(step: Step): void {
    if (!this.run) return
    this.run = { ...this.run, steps: this.run.steps.map((known) => (known.name === step.name ? step : known)) }
    this.changed.tell()
  }

  #lines({ step, stream, lines, from }: LinesEvent): void {
    const stderr = stream === 'stderr'
    const known = this.#reach(step, from + lines.length)
    this.lines.put(
      step,
      from,
      lines.map((text) => ({ text, stderr })),
    )
    if (performance.now() > this.#rate.since) this.#rate.lines += Math.max(0, from + lines.length - known)
    this.printed.tell()
  }

  /** Adds the lines of a step up to before `to` to those of all, and returns how many were known. */
  #reach(step: string, to: number): number {
    const known = this.lines.count(step)
    this.all.add(step, known, to - known)
    this.lines.expect(step, to)
    return known
  }
}
