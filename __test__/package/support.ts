// What the tests share: an engine of their own, marked processes, and hosts to be killed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'
import { ExecutionEngine, type ExecutionConfig, type ExecutionRequest } from '../../index.js'

/** Where the package is, for programs of their own. */
export const packagePath = fileURLToPath(new URL('../../index.js', import.meta.url))

const cleanUps: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (let cleanUp; (cleanUp = cleanUps.pop()) !== undefined;) await cleanUp()
})

/** A directory that goes with the test. */
export function temporary(within = tmpdir()): string {
  const dir = mkdtempSync(join(within, 'engine-test-'))
  cleanUps.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** An engine that is shut down with the test, and logs nowhere else than in a directory of the test. */
export function newEngine(config: ExecutionConfig = {}): ExecutionEngine {
  const engine = new ExecutionEngine({ logDir: join(temporary(), 'logs'), ...config })
  cleanUps.push(() => engine.shutdown())
  return engine
}

export const shell = (command: string, more: Partial<ExecutionRequest> = {}): ExecutionRequest => ({
  command: { type: 'shell', command, shell: 'sh' },
  ...more,
})

export const exec = (program: string, ...args: string[]): ExecutionRequest => ({
  command: { type: 'exec', program, args },
})

/** Whether a message spells a field as Rust does. What was found, and what stands in quotes, are no fields. */
export const speaksRust = (message: string): boolean =>
  /[a-z]_[a-z]/.test(message.replace(/, found .*/s, '').replace(/"[^"]*"/g, ''))

let marks = 0

/** A number of seconds to sleep that nobody else sleeps: it marks a process on its command line. */
export const newMark = (): string => {
  marks += 1
  return `8${String(process.pid % 1000).padStart(3, '0')}.${String(Date.now() % 1e7)}${marks}1`
}

/** The live processes that carry the mark, counted by the operating system. A zombie is dead. */
export const survivors = (mark: string): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0) || pid === process.pid) return false
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
        return line.includes(mark) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
      } catch {
        return false
      }
    })

/** Whether a process runs `sleep`, and is no shell that is going to. */
export function isSleep(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n'
  } catch {
    return false
  }
}

/** Waits until that many processes carry the mark; fails after ten seconds. */
export async function untilThere(mark: string, count: number): Promise<void> {
  await until(() => survivors(mark).length === count, `${count} processes with the mark`)
}

/** Waits for a condition that nothing tells of. */
export async function until(condition: () => boolean, what: string, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  while (!condition()) {
    if (Date.now() > end) throw new Error(`expected ${what} within ${ms} ms`)
    await sleep(5)
  }
}

/** Runs a program of its own in Node; `source` has `ExecutionEngine` and `engine`. */
export function host(source: string, ...execArgv: string[]) {
  return hostWith(process.env, source, ...execArgv)
}

/** The same, started with these variables. */
export function hostWith(env: NodeJS.ProcessEnv, source: string, ...execArgv: string[]) {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
    ${source}`
  const child = spawn(process.execPath, [...execArgv, '-e', program], { stdio: ['ignore', 'pipe', 'pipe'], env })
  let printed = ''
  let complained = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text))
  cleanUps.push(() => void child.kill('SIGKILL'))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, printed, complained }))
  const said = (text: string) => until(() => printed.includes(text), `the host to print "${text}"`)
  return { child, ended, said }
}

/** How often threads of the engine in a process have gone to sleep so far. */
export const wakeUps = (pid: number | undefined): number =>
  readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))
    .filter((status) => /^Name:\tescher/m.test(status))
    .map((status) => Number(/^voluntary_ctxt_switches:\t(\d+)/m.exec(status)?.[1]))
    .reduce((sum, count) => sum + count, 0)
