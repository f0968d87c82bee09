// What the tests share: an engine of their own, marked processes, and hosts to be killed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'
import { ExecutionEngine, type ExecutionConfig, type ExecutionRequest } from '../../index.js'
import { until } from '../processes.mjs'

export { isSleep, newMark, survivors, until, untilThere } from '../processes.mjs'

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
