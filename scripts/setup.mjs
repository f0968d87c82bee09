// Brings a clone to where its commands work: dependencies installed, addon built. Does only what is missing.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { install } from './install.mjs'
import { npm, root, run } from './run.mjs'

/** @param {string} file */
const readJson = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'))

/** @param {string} version @param {string} least */
function isAtLeast(version, least) {
  const [have, want] = [version, least].map((text) => text.split('.').map(Number))
  const differs = want.findIndex((part, i) => (have[i] ?? 0) !== part)
  return differs === -1 || (have[differs] ?? 0) > want[differs]
}

function checkNode() {
  const least = readJson('package.json').engines.node.replace('>=', '')
  if (!isAtLeast(process.versions.node, least)) {
    throw new Error(`expected Node ${least} or newer, found ${process.versions.node}`)
  }
}

async function checkRust() {
  const least = /^rust-version = "(.+)"/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1] ?? ''
  let found = ''
  const status = await run('cargo', ['--version'], { onOutput: (text) => (found += text), quiet: true }).catch(() => 1)
  const version = /^cargo (\d+\.\d+\.\d+)/.exec(found)?.[1]
  if (status !== 0 || version === undefined) {
    throw new Error(`expected Rust ${least} or newer, found no working cargo: see https://rustup.rs`)
  }
  if (!isAtLeast(version, least)) throw new Error(`expected Rust ${least} or newer, found ${version}`)
}

/** @param {string} what @param {number} status */
function expectSuccess(what, status) {
  if (status !== 0) throw new Error(`${what} failed with exit code ${status}`)
}

try {
  checkNode()
  await checkRust()
  await install(root, 'dependencies')
  console.log('setup: building the addon (release)')
  expectSuccess('npm run build', await npm(['run', '--silent', 'build']))
} catch (error) {
  console.error(`setup: ${/** @type {Error} */ (error).message}`)
  process.exitCode = 1
}
