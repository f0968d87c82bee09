// Processes in trouble, whose files hang when they are read.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./executions.mjs').Options} Options */
/** @typedef {import('./executions.mjs').Outcome} Outcome */

const script = fileURLToPath(new URL('../hanging.mjs', import.meta.url))

/**
 * Trees that are cancelled while the variables of a stranger hang: each settles soon, nothing of it is left, and no
 * stranger is ended.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function filesThatHang({ quick }) {
  const trials = quick ? 5 : 500
  const dir = mkdtempSync(join(tmpdir(), 'escher-soak-'))
  const args = ['--mount', process.execPath, script, String(trials), dir]
  const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  let complained = ''
  child.stdout.on('data', (text) => (printed += text))
  child.stderr.on('data', (text) => (complained += text))
  await Promise.race([once(child, 'close'), once(child, 'error').then(([error]) => (complained += error))])
  rmSync(dir, { recursive: true, force: true })
  if (/unshare|mount:|Operation not permitted/.test(complained)) {
    return { figures: '', faults: [], notRun: `files cannot be made to hang here: ${complained.trim()}` }
  }
  if (printed === '') return { figures: '', faults: [`the host ended: ${complained}`] }
  const { left, ended, median, most } = JSON.parse(printed)
  const faults = []
  if (left > 0) faults.push(`${left} survivors`)
  if (ended > 0) faults.push(`${ended} strangers ended`)
  if (most > 4000) faults.push(`one took ${most} ms`)
  const figures = `${trials} trials, ${left} survivors, ${ended} strangers ended; median ${median} ms, at most ${most} ms`
  return { figures, faults }
}
