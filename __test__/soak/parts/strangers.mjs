// What commands have others do for them belongs to the others: a process manager, a scheduler, whoever captures an
// environment, another host, another execution. It survives the command and the host; what is the command's own does not.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { clear, newMark, started, survivors, survivorsAfter } from '../processes.mjs'

/** @typedef {import('./executions.mjs').Options} Options */
/** @typedef {import('./executions.mjs').Outcome} Outcome */

const { ExecutionEngine } = createRequire(import.meta.url)('../../..')
const root = fileURLToPath(new URL('../../..', import.meta.url))
const managerScript = fileURLToPath(new URL('../manager.mjs', import.meta.url))

/** How long a stranger is watched after an end: looks for what has left quietly come within half a second. */
const WATCHED = 900

/** A deadline by which a command has done what it is for, also on a busy machine. */
const LATE = 2500

/** How an execution ends. */
const ENDS = /** @type {const} */ (['itself', 'cancel', 'timeout'])

/** @param {string} command @param {Record<string, string>} [env] @returns {import('../../..').ExecutionRequest} */
const shell = (command, env = {}) => ({ command: { type: 'shell', command, shell: 'sh' }, env })

/** What the trials of a part found. */
class Tally {
  trials = 0
  survivors = 0
  strangersEnded = 0
  /** @type {string[]} */
  faults = []

  /** What is the command's own must be gone. @param {string} mark @param {string} about @param {number} [ms] */
  async gone(mark, about, ms = 2000) {
    const left = await survivorsAfter(mark, ms)
    clear(left)
    this.survivors += left.length
    if (left.length > 0) this.faults.push(`${about}: ${left.length} survived`)
  }

  /** What is a stranger's must be there; it is taken away then. @param {string} mark @param {string} about @param {number} [count] */
  there(mark, about, count = 1) {
    const found = survivors(mark)
    clear(found)
    this.strangersEnded += count - found.length
    if (found.length !== count) this.faults.push(`${about}: ${count - found.length} of ${count} strangers ended`)
  }

  /** @returns {Outcome} */
  outcome(more = '') {
    const figures = `${this.trials} trials${more}, ${this.survivors} survivors, ${this.strangersEnded} strangers ended`
    return { figures, faults: this.faults }
  }
}

/**
 * Makes the trials, so many at once. One that throws is a fault.
 *
 * @param {number} count
 * @param {number} atOnce
 * @param {(tally: Tally, index: number) => Promise<void>} trial
 * @param {Tally} [tally]
 */
async function trials(count, atOnce, trial, tally = new Tally()) {
  let next = 0
  const work = async () => {
    while (next < count) {
      const index = next++
      tally.trials += 1
      await trial(tally, index).catch((error) => tally.faults.push(`trial ${index}: ${error.stack}`))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return tally
}

/**
 * Runs it until it ends in this way. A cancel comes with its first line, by which it has done what it is for.
 *
 * @param {any} engine
 * @param {import('../../..').ExecutionRequest} request
 * @param {typeof ENDS[number]} end
 */
async function ended(engine, request, end) {
  const stop = new AbortController()
  const onStdout = () => end === 'cancel' && stop.abort()
  const timeoutMs = end === 'timeout' ? LATE : 60_000
  const result = await engine.run({ ...request, timeoutMs }, { onStdout, signal: stop.signal })
  const expected = { itself: 'completed', cancel: 'cancelled', timeout: 'timeout' }[end]
  if (result.status !== expected) throw new Error(`expected ${expected}, found ${result.status}: ${result.error}`)
  return result
}

/**
 * A host of its own with an engine; `source` may use that, the request, and `say`, whose lines `heard` resolves with.
 *
 * @param {string} source
 * @param {import('../../..').ExecutionRequest} [request] not on its command line, where its marks would be found
 */
function newHost(source, request) {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(root)})
    const engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 1000 })
    const request = JSON.parse(process.env.REQUEST ?? 'null')
    const say = (line) => console.log(line)
    ${source}`
  const child = spawn(process.execPath, ['-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, REQUEST: JSON.stringify(request) },
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const heard = async () => (await lines.next()).value
  const gone = once(child, 'close')
  return { child, heard, gone }
}

/** A process manager that is nobody's child. @param {string} dir */
async function newManager(dir) {
  const socket = join(dir, 'manager')
  const line = `"$0" "$1" "$2" & echo $!`
  const child = spawn('sh', ['-c', line, process.execPath, managerScript, socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const pid = Number((await lines.next()).value)
  await lines.next()
  // It takes the environment of its caller with the request for an app, and says what came of it.
  const client = `perl -MIO::Socket::UNIX -e '
    $s = IO::Socket::UNIX->new(Peer => $ENV{MANAGER}) or die $!;
    print $s join(chr(0), $ENV{WHEN}, map { "$_=$ENV{$_}" } keys %ENV);
    $s->flush; shutdown $s, 1; print <$s>'`
  return { client, socket, end: () => process.kill(pid, 'SIGKILL') }
}

/** @template T @param {(dir: string) => Promise<T>} part @returns {Promise<T>} */
async function inDirectory(part) {
  const dir = mkdtempSync(join(tmpdir(), 'execution-engine-strangers-'))
  try {
    return await part(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/**
 * An app that a process manager starts with the environment of its client lives on, however the execution of the client
 * ends, and its host.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export function appsOfAProcessManager({ quick }) {
  return inDirectory(async (dir) => {
    const manager = await newManager(dir)
    const engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 1000, drainIdleMs: 50 })
    const request = (/** @type {string} */ app, /** @type {string} */ own) =>
      shell(`setsid sleep ${own} >/dev/null 2>&1 & ${manager.client}; [ "$STAYS" = no ] || sleep ${own}`, {
        MANAGER: manager.socket,
        WHEN: 'now',
        APP: app,
      })
    try {
      const tally = await trials(quick ? 9 : 500, 8, async (tally, index) => {
        const [app, own, end] = [newMark(), newMark(), ENDS[index % ENDS.length]]
        const { command, env } = request(app, own)
        await ended(engine, { command, env: { ...env, STAYS: end === 'itself' ? 'no' : 'yes' } }, end)
        await sleep(WATCHED)
        await tally.gone(own, `app, ended by ${end}`)
        tally.there(app, `app, ended by ${end}`)
      })
      await trials(
        quick ? 2 : 50,
        2,
        async (tally, index) => {
          const [app, own, end] = [newMark(), newMark(), index % 2 === 0 ? 'exit' : 'SIGKILL']
          const { child, heard, gone } = newHost(
            `
            engine.execute(request, { onStdout: say })
            process.stdin.on('data', () => process.exit())`,
            request(app, own),
          )
          await heard()
          if (end === 'exit') child.stdin.write('exit')
          else child.kill('SIGKILL')
          await gone
          await sleep(WATCHED)
          await tally.gone(own, `app, its host ended by ${end}`)
          tally.there(app, `app, its host ended by ${end}`)
        },
        tally,
      )
      return tally.outcome()
    } finally {
      manager.end()
      await engine.shutdown()
    }
  })
}

/** The scheduler of the system, for as long as the part takes; `undefined` where there is none to be had. */
async function newAtd() {
  if (process.getuid?.() !== 0 || !existsSync('/usr/sbin/atd') || existsSync('/run/atd.pid')) return undefined
  const child = spawn('/usr/sbin/atd', ['-f', '-b', '0', '-l', '1000'], { stdio: 'ignore' })
  const isThere = await Promise.race([once(child, 'close').then(() => false), sleep(300).then(() => true)])
  const end = () => {
    child.kill('SIGTERM')
    rmSync('/run/atd.pid', { force: true })
  }
  return isThere ? end : undefined
}

/**
 * A job that was left to a scheduler, which restores the environment of its submitter, survives the end of the execution
 * and the orderly end of the host.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export function jobsLeftToAScheduler({ quick }) {
  return inDirectory(async (dir) => {
    const endAtd = await newAtd()
    const manager = await newManager(dir)
    const leave = endAtd ? `echo "exec sleep $APP" | at now 2>/dev/null` : manager.client
    try {
      const tally = await trials(quick ? 2 : endAtd ? 20 : 500, endAtd ? 2 : 8, async (tally) => {
        const [app, own] = [newMark(), newMark()]
        const request = shell(`${leave}; setsid sleep ${own} >/dev/null 2>&1 & sleep 0.1; echo left`, {
          APP: app,
          MANAGER: manager.socket,
          WHEN: 'later',
        })
        const { child, heard, gone } = newHost(
          `
          engine.run(request).then(({ status }) => say(status))
          process.stdin.on('data', () => process.exit())`,
          request,
        )
        const status = await heard()
        if (status !== 'completed') tally.faults.push(`job: expected completed, found ${status}`)
        await started(app, 1)
        await sleep(WATCHED)
        await tally.gone(own, 'job, after the execution')
        child.stdin.write('exit')
        await gone
        await sleep(WATCHED)
        tally.there(app, 'job, after the execution and the host')
      })
      return tally.outcome(endAtd ? ' with at' : ' with a scheduler of the test')
    } finally {
      manager.end()
      endAtd?.()
    }
  })
}

/**
 * Somebody starts a process with the environment that a command has printed, while that runs or later.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function environmentsThatWereCaptured({ quick }) {
  const engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 1000, drainIdleMs: 50 })
  const tally = await trials(quick ? 6 : 500, 8, async (tally, index) => {
    const [early, late, own, end] = [newMark(), newMark(), newMark(), ENDS[index % ENDS.length]]
    /** @type {string[]} */
    const variables = []
    const stop = new AbortController()
    const begin = (/** @type {string} */ mark) => {
      const env = Object.fromEntries(variables.map((variable) => variable.split(/=(.*)/s).slice(0, 2)))
      if (!env['ESCHER_EXECUTION_ID']) tally.faults.push('captured: the environment lacks the id')
      return spawn('sleep', [mark], { env, detached: true, stdio: 'ignore' })
    }
    const stays = end === 'itself' ? 'sleep 0.3' : `sleep ${own}`
    const request = shell(`setsid sleep ${own} >/dev/null 2>&1 & printenv; echo; ${stays}`)
    const result = await engine.run(
      { ...request, timeoutMs: end === 'timeout' ? LATE : 60_000 },
      {
        signal: stop.signal,
        onStdout(/** @type {string} */ line) {
          if (line !== '') return void variables.push(line)
          begin(early)
          if (end === 'cancel') stop.abort()
        },
      },
    )
    if (result.status === 'failed') tally.faults.push(`captured: ${result.error}`)
    begin(late)
    await sleep(WATCHED)
    await tally.gone(own, `captured, ended by ${end}`)
    tally.there(early, `captured while it ran, ended by ${end}`)
    tally.there(late, `captured, started later, ended by ${end}`)
  })
  await engine.shutdown()
  return tally.outcome()
}

/**
 * The same id in two hosts at a time, and twice in one engine: an end concerns the execution, and not what it is called.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function idsThatAreUsedTwice({ quick }) {
  const engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 1000, drainIdleMs: 50 })
  const other = newHost(`
    require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
      const { id, cancel, command } = JSON.parse(line)
      if (cancel) await engine.cancel(id)
      else await engine.execute({ id, command })
      say(id)
    })`)
  /** @type {Map<string, () => void>} */
  const waiting = new Map()
  const listen = async () => {
    for (let id; (id = await other.heard()) !== undefined;) waiting.get(id)?.()
  }
  const listening = listen()
  const tell = (/** @type {{ id: string, [more: string]: unknown }} */ what) =>
    new Promise((resolve) => {
      waiting.set(what.id, () => resolve(undefined))
      other.child.stdin.write(`${JSON.stringify(what)}\n`)
    })
  const tally = await trials(quick ? 6 : 500, 8, async (tally, index) => {
    const [id, here, there] = [randomUUID(), newMark(), newMark()]
    if (index % 2 === 0) {
      const tree = (/** @type {string} */ mark) => shell(`sleep ${mark} & setsid sleep ${mark} & exec sleep ${mark}`)
      await tell({ id, ...tree(there) })
      await started(there, 3)
      const running = engine.run({ id, ...tree(here) })
      await started(here, 3)
      await engine.cancel(id)
      await running
      await sleep(WATCHED)
      await tally.gone(here, 'one id in two hosts')
      if (survivors(there).length === 3) await tell({ id, cancel: true })
      else tally.there(there, 'one id in two hosts', 3)
      return tally.gone(there, 'one id in two hosts, the other')
    }
    const keep = { ...shell(`setsid sleep ${there} >/dev/null 2>&1 & exit 0`), keepBackground: true }
    await engine.run({ id, ...keep })
    await started(there, 1)
    await engine.removeExecution(id)
    const ends = /** @type {const} */ (['itself', 'cancel'])
    const end = ends[(index >> 1) % ends.length]
    const stays = end === 'itself' ? 'exit 0' : `exec sleep ${here}`
    await ended(engine, { id, ...shell(`setsid sleep ${here} >/dev/null 2>&1 & echo there; ${stays}`) }, end)
    await sleep(WATCHED)
    await tally.gone(here, `an id used again, ended by ${end}`)
    tally.there(there, `a daemon that was kept under the same id, ended by ${end}`)
  })
  other.child.kill('SIGKILL')
  await listening
  await engine.shutdown()
  return tally.outcome()
}

/**
 * An engine in a command of another engine: neither the cancel of the outer command nor the death of the outer host leaves
 * anything, of the inner commands either.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function enginesWithinEngines({ quick }) {
  const engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 1000 })
  const tree = (/** @type {string} */ mark) =>
    shell(`sleep ${mark} & setsid sleep ${mark} >/dev/null 2>&1 & (setsid sleep ${mark} &) ; exec sleep ${mark}`)
  // The inner one does not end on request, as a host that is stuck would not.
  const inner = (/** @type {string} */ mark) => {
    const program = `
      process.on('SIGTERM', () => {})
      const { ExecutionEngine } = require(${JSON.stringify(root)})
      new ExecutionEngine({ logOutput: false }).execute(${JSON.stringify(tree(mark))}).then(() => console.log('there'))`
    return { command: { type: 'exec', program: process.execPath, args: ['-e', program] } }
  }
  const tally = await trials(quick ? 4 : 500, 4, async (tally, index) => {
    const mark = newMark()
    if (index % 2 === 0) {
      const id = await engine.execute(inner(mark))
      // The mark is on the command line of the inner host, too.
      await started(mark, 5)
      await engine.cancel(id)
      return tally.gone(mark, 'the outer execution was cancelled')
    }
    const { child, gone } = newHost('engine.execute(request)', inner(mark))
    await started(mark, 5)
    child.kill('SIGKILL')
    await gone
    await tally.gone(mark, 'the outer host was killed', 5000)
  })
  await engine.shutdown()
  return tally.outcome()
}
