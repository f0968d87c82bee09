// A host that is process 1, as in a container: it adopts what its commands leave, and nobody else reaps that.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./executions.mjs').Options} Options */
/** @typedef {import('./executions.mjs').Outcome} Outcome */

const script = fileURLToPath(new URL('../first.mjs', import.meta.url))

/**
 * Runs a program as process 1 of a namespace of its own; returns what it printed, and what it complained of.
 *
 * @param {string[]} command
 */
export async function asFirstProcess(command) {
  // Who is not root has a namespace of users first, where the system allows that.
  const own = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const child = spawn('unshare', [...own, '--pid', '--fork', '--kill-child', '--mount-proc', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  let complained = ''
  child.stdout.on('data', (text) => (printed += text))
  child.stderr.on('data', (text) => (complained += text))
  await Promise.race([once(child, 'close'), once(child, 'error').then(([error]) => (complained += error))])
  return { printed, complained: complained.trim() }
}

/** Why there is no process 1 to be had here, if so. */
export async function noFirstProcess() {
  const { printed, complained } = await asFirstProcess(['sh', '-c', 'echo $$'])
  return printed === '1\n' ? undefined : `there is no namespace of processes here: ${complained}`
}

/**
 * Executions that leave children whose parents have ended: none of them runs on, and none stays as a zombie.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function aHostThatIsProcessOne({ quick }) {
  const notRun = await noFirstProcess()
  if (notRun !== undefined) return { figures: '', faults: [], notRun }
  const count = quick ? 40 : 200
  const { printed, complained } = await asFirstProcess([process.execPath, script, String(count)])
  if (printed === '') return { figures: '', faults: [`the host ended: ${complained}`] }
  /** @type {{ pid: number, succeeded: number, zombies: number, running: string[] }} */
  const { pid, succeeded, zombies, running } = JSON.parse(printed)
  const faults = running.map((line) => `still running: ${line}`)
  if (pid !== 1) faults.push(`the host was process ${pid}`)
  if (zombies > 0) faults.push(`${zombies} zombies are left`)
  if (succeeded !== count) faults.push(`${count - succeeded} executions failed`)
  return { figures: `${count} executions, ${running.length} left running, ${zombies} zombies`, faults }
}
