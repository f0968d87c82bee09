// The package queue/, which has its own dependencies, and its own short form in its own tests.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./executions.mjs').Options} Options */
/** @typedef {import('./executions.mjs').Outcome} Outcome */

const setup = fileURLToPath(new URL('../../../queue/scripts/setup.mjs', import.meta.url))

/** @param {Options} options @param {boolean} stops @returns {Promise<Outcome>} */
async function run({ quick, seed }, stops) {
  const { status } = spawnSync(process.execPath, [setup, '--engine-is-built'], { stdio: 'inherit' })
  if (status !== 0) throw new Error('the setup of the queue failed')
  const { LONG, SHORT, soak } = await import('../../../queue/test/soak/soak.mjs')
  return soak(quick ? SHORT : LONG, { seed, stops })
}

/**
 * Workers in processes of their own, killed, blocked and cut off at random.
 *
 * @param {Options} options
 */
export const queue = (options) => run(options, false)

/**
 * The same, and workers that are stopped and resumed: then a command may run beside another run of itself, and all else
 * holds.
 *
 * @param {Options} options
 */
export const queueWithStops = (options) => run(options, true)
