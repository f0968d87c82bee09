// What the tests share: a service with playbooks of its own, a client of its events, and the program `play`.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import Type, { type Static, type TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { expect, onTestFinished } from 'vitest'
import { GapEvent, LinesEvent, Run, Started, Step } from '../src/api.js'
import { type Service, startService } from '../src/service.js'

const program = fileURLToPath(new URL('../dist/play.js', import.meta.url))

/** A directory that is removed when the test has ended. */
export function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'execution-manager-test-'))
  onTestFinished(() => {
    rmSync(made, { recursive: true, force: true })
  })
  return made
}

/** Steps that are only the text of a shell, or all of a step. */
export type Steps = Record<string, string | Record<string, unknown>>

/** A playbook, from the little that matters to a test. */
export const playbook = (name: string, steps: Steps, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  name,
  steps: Object.fromEntries(
    Object.entries(steps).map(([key, step]) => [
      key,
      typeof step === 'string' ? { command: { type: 'shell', command: step } } : step,
    ]),
  ),
  ...more,
})

/** @returns the file. */
export function write(directory: string, content: Record<string, unknown> | string): string {
  mkdirSync(directory, { recursive: true })
  const name = typeof content === 'string' ? 'playbook' : String(content['name'])
  const file = join(directory, `${name}.json`)
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  return file
}

/** What is expected somewhere in a text. */
export const containing = (text: string): unknown => expect.stringContaining(text)

/** What a program has printed as JSON. */
export const json = <Schema extends TSchema>(schema: Schema, text: string): Static<Schema> =>
  Value.Parse(schema, JSON.parse(text))

export class Client {
  constructor(
    readonly url: string,
    private readonly headers: Record<string, string> = {},
  ) {}

  async request(path: string, init: RequestInit = {}): Promise<{ status: number; text: string }> {
    const headers = new Headers(init.headers)
    for (const [name, value] of Object.entries(this.headers)) headers.set(name, value)
    const response = await fetch(this.url + path, { ...init, headers })
    return { status: response.status, text: await response.text() }
  }

  async get<Schema extends TSchema>(path: string, schema: Schema): Promise<Static<Schema>> {
    const { status, text } = await this.request(path)
    if (status !== 200) throw new Error(`GET ${path}: ${String(status)} ${text}`)
    return json(schema, text)
  }

  async post(path: string, body: unknown): Promise<{ status: number; text: string }> {
    return await this.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  /** @returns the id of the run. */
  async start(name: string, parameters: Record<string, unknown> = {}): Promise<string> {
    const { status, text } = await this.post('/api/runs', { playbook: name, parameters })
    if (status !== 201) throw new Error(`expected a run, found ${String(status)} ${text}`)
    return json(Started, text).id
  }

  async run(id: string): Promise<Run> {
    return await this.get(`/api/runs/${id}`, Run)
  }

  /** The events of a run, from behind `lastId` on. Leaving the loop closes the connection. */
  async *events(id: string, lastId?: string): AsyncGenerator<ReceivedEvent & { readonly id: string }> {
    const leave = new AbortController()
    const response = await fetch(`${this.url}/api/runs/${id}/events`, {
      headers: { ...this.headers, ...(lastId !== undefined && { 'last-event-id': lastId }) },
      signal: leave.signal,
    })
    if (response.body === null || !response.ok) throw new Error(`${String(response.status)} ${await response.text()}`)
    try {
      const texts = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
      for await (const { event, data, id: at = '' } of texts) {
        const parsed: unknown = JSON.parse(data)
        yield { ...Value.Parse(Received, { event, data: parsed }), id: at }
      }
    } finally {
      leave.abort()
    }
  }

  /** Waits for what a run becomes. */
  async until(id: string, isSo: (run: Run) => boolean): Promise<Run> {
    for await (const { event } of this.events(id)) {
      const run = await this.run(id)
      if (isSo(run)) return run
      if (event === 'end') break
    }
    throw new Error(`the run has ended without that: ${JSON.stringify(await this.run(id))}`)
  }

  async ended(id: string): Promise<Run> {
    for await (const event of this.events(id)) if (event.event === 'end') return event.data
    throw new Error('the events ended without the end of the run')
  }
}

const Received = Type.Union([
  Type.Object({ event: Type.Literal('run'), data: Run }),
  Type.Object({ event: Type.Literal('step'), data: Step }),
  Type.Object({ event: Type.Literal('lines'), data: LinesEvent }),
  Type.Object({ event: Type.Literal('gap'), data: GapEvent }),
  Type.Object({ event: Type.Literal('end'), data: Run }),
])
export type ReceivedEvent = Static<typeof Received>

/** A service in this process, which ends with the test. */
export async function serve(
  playbooks: readonly Record<string, unknown>[],
  options: { data?: string; token?: string; host?: string } = {},
): Promise<{ service: Service; client: Client; data: string; playbooks: string }> {
  const directory = folder()
  for (const one of playbooks) write(directory, one)
  const data = options.data ?? folder()
  const service = await startService({ playbooks: directory, ...options, data })
  onTestFinished(() => service.close())
  const headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }
  return { service, client: new Client(service.url, headers), data, playbooks: directory }
}

/** The program `play`, as a user starts it. */
export class Play {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly #exit: Promise<number | NodeJS.Signals>

  constructor(data: string, args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, EXECUTION_MANAGER_DATA: data, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.#exit = once(this.child, 'close').then(() => this.child.exitCode ?? this.child.signalCode ?? 0)
    onTestFinished(async () => {
      this.child.kill('SIGKILL')
      await this.#exit
    })
  }

  get exit(): Promise<number | NodeJS.Signals> {
    return this.#exit
  }

  /** Resolves with what was found once it has been printed. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stdout)
      if (found !== null) return found
      const more = this.child.stdout === null ? undefined : once(this.child.stdout, 'data')
      await Promise.race([more, this.#exit])
      if (this.child.exitCode !== null && pattern.exec(this.stdout) === null) {
        throw new Error(`it ended without saying ${String(pattern)}:\n${this.stdout}\n${this.stderr}`)
      }
    }
  }
}

export async function play(
  data: string,
  ...args: string[]
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const started = new Play(data, args)
  return { code: await started.exit, stdout: started.stdout, stderr: started.stderr }
}

/** One that is dead and was not reaped by whoever adopted it is dead. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \([^]*\) Z/.test(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'))
  } catch {
    return false
  }
}
