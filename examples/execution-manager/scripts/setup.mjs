// Brings the Execution Manager to where it runs: the engine built, the queue compiled, dependencies installed, service and
// page compiled. Does only what is missing. `--engine-is-built`: whoever calls has done the first.

import { fileURLToPath } from 'node:url'
import { install } from '../../../scripts/install.mjs'
import { npm, run } from '../../../scripts/run.mjs'

const dir = fileURLToPath(new URL('..', import.meta.url))
const queue = fileURLToPath(new URL('../../../queue', import.meta.url))

/** @param {string} what @param {number} status */
function expectSuccess(what, status) {
  if (status !== 0) throw new Error(`${what} failed with exit code ${status}`)
}

try {
  if (!process.argv.includes('--engine-is-built')) {
    const setup = fileURLToPath(new URL('../../../scripts/setup.mjs', import.meta.url))
    expectSuccess('the setup of the engine', await run(process.execPath, [setup]))
  }
  await install(queue, "the queue's dependencies")
  expectSuccess('the build of the queue', await npm(['run', '--silent', 'build'], { cwd: queue }))
  await install(dir, "the Execution Manager's dependencies")
  console.log('setup: compiling the Execution Manager')
  expectSuccess('its build', await npm(['run', '--silent', 'build'], { cwd: dir }))
} catch (error) {
  console.error(`setup: ${/** @type {Error} */ (error).message}`)
  process.exitCode = 1
}
