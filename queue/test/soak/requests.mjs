// What the soak asks for: commands that take a lock of their own, say that they run, print numbered lines, and end in
// different ways; and what must be true of each once it has ended.

import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** @typedef {import('@escher-dbai/execution-queue').QueueRequest} QueueRequest */
/** @typedef {import('@escher-dbai/execution-engine').ExecutionResult} ExecutionResult */

/** How a command ends that another run of itself was in the way of. Whether that may be says the end of the soak. */
export const BESIDE = 99

/**
 * The lock is one that the system lets go when all who have inherited it are dead, and it is named after the execution:
 * who does not get it runs beside another run of the same.
 */
const COMMAND = `
exec 9>> "$SOAK_DIR/$ESCHER_EXECUTION_ID.lock"
flock -n 9 || { echo "$ESCHER_EXECUTION_ID" >> "$SOAK_DIR/twice"; exit ${BESIDE}; }
echo $$ >> "$SOAK_DIR/$ESCHER_EXECUTION_ID.runs"
i=0
while [ $i -lt $SOAK_LINES ]; do i=$((i+1)); echo "$$ $i"; [ $((i % 10)) -ne 5 ] || sleep $SOAK_PAUSE; done
exit $SOAK_EXIT`

/**
 * @typedef {object} Asked
 * @property {string} id
 * @property {QueueRequest} request
 * @property {boolean} reruns whether it is run again when its worker was lost
 * @property {number} lines how many lines a whole run prints
 * @property {number} exitCode
 * @property {number | null} cancelAfterMs
 */

/**
 * Another one.
 *
 * @param {string} dir
 * @param {() => number} next numbers between 0 and 1
 * @returns {Asked}
 */
export function newRequest(dir, next) {
  const lines = 1 + Math.floor(next() * 40)
  // Most are short; some outlive a lease.
  const pause = next() < 0.1 ? 1.2 : 0.02 + next() * 0.2
  const exitCode = next() < 0.1 ? 3 : 0
  const reruns = next() < 0.5
  const id = randomUUID()
  return {
    id,
    reruns,
    lines,
    exitCode,
    cancelAfterMs: next() < 0.05 ? next() * 1500 : null,
    request: {
      id,
      command: { type: 'shell', command: COMMAND, shell: 'sh' },
      env: {
        SOAK_DIR: dir,
        SOAK_LINES: String(lines),
        SOAK_PAUSE: pause.toFixed(3),
        SOAK_EXIT: String(exitCode),
      },
      onWorkerLoss: reruns ? 'rerun' : 'fail',
      priority: Math.floor(next() * 3),
    },
  }
}

/**
 * How often it was started.
 *
 * @param {string} dir
 * @param {string} id
 */
export function runsOf(dir, id) {
  const file = join(dir, `${id}.runs`)
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').length : 0
}

/** Those that were started beside another run of the same. @param {string} dir */
export function startedTwice(dir) {
  const file = join(dir, 'twice')
  return existsSync(file) ? [...new Set(readFileSync(file, 'utf8').trim().split('\n'))] : []
}

/**
 * What is wrong with the lines that were told: each run begins with its first, and goes on with the next.
 *
 * @param {readonly string[]} told
 * @param {Asked} asked
 * @param {boolean} isWhole whether the last run was told to its end
 */
function faultOfLines(told, asked, isWhole) {
  const before = new Set()
  let [run, last] = ['', 0]
  for (const line of told) {
    const [pid = '', number] = line.split(' ')
    if (pid !== run) {
      if (before.has(pid)) return `lines of run ${pid} after those of another`
      before.add(pid)
      ;[run, last] = [pid, 0]
    }
    last += 1
    if (Number(number) !== last) return `expected line ${last} of run ${pid}, was told ${number}`
  }
  return isWhole && last !== asked.lines ? `expected ${asked.lines} lines, was told ${last}` : undefined
}

const LOST = new Set(['WORKER_LOST', 'LEASE_LOST'])

/**
 * What is wrong with an end.
 *
 * @param {Asked} asked
 * @param {ExecutionResult} result
 * @param {readonly string[]} told
 * @param {number} runs
 * @returns {string | undefined}
 */
export function faultOf(asked, result, told, runs) {
  const { status, exitCode, errorCode } = result
  const end = `${status}, exit code ${exitCode}, ${errorCode}: ${result.error}`
  if (!asked.reruns && runs > 1) return `ran ${runs} times: ${end}`
  const endedByItself = status === (asked.exitCode === 0 ? 'completed' : 'failed') && exitCode === asked.exitCode
  if (endedByItself && runs === 0) return `has a result and never ran: ${end}`
  const wasCancelled = asked.cancelAfterMs !== null && status === 'cancelled'
  const wasLost = !asked.reruns && status === 'failed' && errorCode !== null && LOST.has(errorCode)
  if (!endedByItself && !wasCancelled && !wasLost) return `ended otherwise than it may: ${end}`
  if (errorCode === 'IO') return `was not told all: ${end}; was told ${told.length} lines, the last ${told.at(-1)}`
  return faultOfLines(told, asked, endedByItself)
}
