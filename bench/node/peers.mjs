// What the engine is measured beside: installed where it is missing, and where Bun is.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { npm } from '../../scripts/run.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))

/** @param {string} file @returns {any} */
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

const { dependencies } = readJson(join(here, 'package.json'))
const { packages } = readJson(join(here, 'package-lock.json'))

/** @param {string} name */
const installed = (name) => {
  const file = join(here, 'node_modules', name, 'package.json')
  return existsSync(file) ? readJson(file).version : undefined
}

export async function installPeers() {
  const missing = Object.keys(dependencies).filter(
    (name) => installed(name) !== packages[`node_modules/${name}`].version,
  )
  if (missing.length === 0) return
  console.log(`bench: installing ${missing.join(', ')}`)
  const args = ['ci', '--prefix', here, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  if ((await npm(args)) !== 0) throw new Error('the peers could not be installed')
}

/** @returns {Record<string, string>} */
export const peerVersions = () => Object.fromEntries(Object.keys(dependencies).map((name) => [name, installed(name)]))

/** The Bun that is installed here, or on the PATH, if one is. */
export function findBun() {
  const platforms = join(here, 'node_modules/@oven')
  const own = existsSync(platforms) ? readdirSync(platforms).map((name) => join(platforms, name, 'bin/bun')) : []
  // The first is a placeholder until the install script of the package has run.
  for (const path of [join(here, 'node_modules/bun/bin/bun.exe'), ...own, 'bun']) {
    try {
      const version = execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      return { path, version: version.trim() }
    } catch {
      // Not here, or not for this platform.
    }
  }
  return undefined
}
