// A run as a terminal shows it: one row for each step where there is a terminal, plain lines elsewhere.

import { styleText } from 'node:util'
import { createLogUpdate } from 'log-update'
import type { Run, RunEvent, Step } from '../api.js'
import { isOver } from '../runs/record.js'
import { duration, harmless } from './words.js'

export interface View {
  tell(event: RunEvent): void
  /** The last word. */
  end(run: Run): void
}

/** So many of its last lines are shown of a step that failed. */
const shownLines = 10

const failed: readonly Step['status'][] = ['failed', 'timeout']

/** What is said of an attempt that another one follows. */
const retryWords = (error: string | null, attempt: number): string =>
  `${error ?? 'failed'}; attempt ${String(attempt)} follows`

const stepWords = (step: Step): string => {
  const time = step.durationMs === null || step.startedAt === null ? '' : ` after ${duration(step.durationMs)}`
  return `${step.status}${time}${step.error === null ? '' : `: ${step.error}`}`
}

const runWords = (run: Run): string =>
  `${run.playbook}: ${run.status}${run.durationMs === null ? '' : ` after ${duration(run.durationMs)}`}` +
  (run.error === null ? '' : `: ${run.error}`)

/** One line for each thing that happens. */
export class PlainView implements View {
  readonly #said = new Map<string, string>()
  /** By the name of a step: how many of its attempts were told that another one followed. */
  readonly #retries = new Map<string, number>()

  constructor(private readonly out: NodeJS.WritableStream) {}

  tell(event: RunEvent): void {
    switch (event.event) {
      case 'run':
      case 'end':
        for (const step of event.data.steps) this.#step(step)
        break
      case 'step':
        this.#step(event.data)
        break
      case 'lines':
        for (const line of event.data.lines) this.#say(event.data.step, line)
        break
      case 'gap':
        this.#say(event.data.step, `${String(event.data.to - event.data.from)} lines are not kept any more`)
    }
  }

  end(run: Run): void {
    this.out.write(`${runWords(run)}\n`)
  }

  #step(step: Step): void {
    const followed = isOver(step.status) ? step.attempts.slice(0, -1) : step.attempts
    for (const [i, { error }] of followed.entries()) {
      if (i >= (this.#retries.get(step.name) ?? 0)) this.#say(step.name, retryWords(error, i + 2))
    }
    this.#retries.set(step.name, followed.length)
    if (step.status === 'waiting' || this.#said.get(step.name) === step.status) return
    this.#said.set(step.name, step.status)
    this.#say(step.name, step.status === 'running' ? `$ ${step.command ?? ''}` : stepWords(step))
  }

  #say(step: string, text: string): void {
    this.out.write(`[${step}] ${text}\n`)
  }
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const frameMs = 80

/** A row for each step, written again and again. */
export class LiveView implements View {
  readonly #last = new Map<string, string[]>()
  readonly #update: ReturnType<typeof createLogUpdate>
  readonly #timer: NodeJS.Timeout
  #run: Run | undefined

  constructor(private readonly out: NodeJS.WriteStream) {
    this.#update = createLogUpdate(out)
    this.#timer = setInterval(() => {
      this.#draw()
    }, frameMs)
  }

  tell(event: RunEvent): void {
    switch (event.event) {
      case 'run':
      case 'end':
        this.#run = event.data
        break
      case 'step':
        this.#changed(event.data)
        break
      case 'lines':
        this.#lines(event.data.step, event.data.lines)
        break
      case 'gap':
    }
  }

  end(run: Run): void {
    clearInterval(this.#timer)
    this.#run = run
    this.#draw()
    this.#update.done()
    for (const step of run.steps.filter(({ status }) => failed.includes(status))) {
      const lines = this.#last.get(step.name) ?? []
      this.out.write(`\n${styleText('red', `${step.name}: ${stepWords(step)}`)}\n`)
      for (const line of lines) this.out.write(`  ${line}\n`)
    }
    this.out.write(`\n${styleText(run.status === 'completed' ? 'green' : 'red', runWords(run))}\n`)
  }

  #changed(step: Step): void {
    if (this.#run === undefined) return
    const steps = this.#run.steps.map((one) => (one.name === step.name ? step : one))
    this.#run = { ...this.#run, steps }
  }

  #lines(step: string, lines: readonly string[]): void {
    const shown = lines.slice(-shownLines).map(harmless)
    this.#last.set(step, [...(this.#last.get(step) ?? []), ...shown].slice(-shownLines))
  }

  #draw(): void {
    if (this.#run === undefined) return
    const { steps } = this.#run
    const width = Math.max(...steps.map(({ name }) => name.length))
    this.#update(steps.map((step) => this.#row(step, width)).join('\n'))
  }

  #row(step: Step, width: number): string {
    const time =
      step.status === 'running' && step.startedAt !== null ? Date.now() - Date.parse(step.startedAt) : step.durationMs
    const words = step.startedAt === null ? step.status : duration(time)
    const start = `${sign(step.status)} ${step.name.padEnd(width)} ${words.padStart(10)}  `
    const room = this.out.columns - width - 16
    const retry = step.retrying && retryWords(step.attempts.at(-1)?.error ?? null, step.retrying.attempt)
    const last = step.error ?? retry ?? this.#last.get(step.name)?.at(-1) ?? ''
    return start + styleText('dim', harmless(last).slice(0, Math.max(room, 0)))
  }
}

function sign(status: Step['status']): string {
  switch (status) {
    case 'waiting':
    case 'pending':
      return styleText('dim', '·')
    case 'running':
      return styleText('cyan', frames[Math.floor(Date.now() / frameMs) % frames.length] ?? '')
    case 'completed':
      return styleText('green', '✔')
    case 'skipped':
      return styleText('dim', '-')
    default:
      return styleText('red', '✖')
  }
}
