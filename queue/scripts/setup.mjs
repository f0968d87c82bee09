// Brings the package to where its commands work: the engine built, dependencies installed, TypeScript compiled, a server
// for the tests found. Does only what is missing. `--engine-is-built`: whoever calls has done the first.

import { fileURLToPath } from 'node:url'
import { install } from '../../scripts/install.mjs'
import { run } from '../../scripts/run.mjs'
import { serverProgram } from '../test/support/server-program.mjs'

const dir = fileURLToPath(new URL('..', import.meta.url))

/** @param {string} what @param {string[]} args @param {string} [cwd] */
async function node(what, args, cwd = dir) {
  const status = await run(process.execPath, args, { cwd })
  if (status !== 0) throw new Error(`${what} failed with exit code ${status}`)
}

try {
  if (!process.argv.includes('--engine-is-built')) {
    await node('the setup of the engine', [fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url))])
  }
  await install(dir, "the queue's dependencies")
  console.log('setup: compiling the queue')
  await node('tsc', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'])
  console.log(`setup: the server of the queue's tests is ${serverProgram()}`)
} catch (error) {
  console.error(`setup: ${/** @type {Error} */ (error).message}`)
  process.exitCode = 1
}
