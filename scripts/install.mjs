// The dependencies of a package of this repository: installed as its lockfile says, if they are not.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { npm } from './run.mjs'

/** @param {string} file */
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

/** Whether what npm says it installed is what the lockfile asks for, less the packages of other platforms. @param {string} dir */
function isInstalled(dir) {
  const record = join(dir, 'node_modules/.package-lock.json')
  if (!existsSync(record)) return false
  const wanted = Object.entries(readJson(join(dir, 'package-lock.json')).packages).filter(([path]) => path !== '')
  const installed = readJson(record).packages
  const known = new Set(wanted.map(([path]) => path))
  return (
    Object.keys(installed).every((path) => known.has(path)) &&
    wanted.every(([path, { version, optional }]) =>
      path in installed ? installed[path].version === version : optional === true,
    )
  )
}

/**
 * Installs what the package in a directory needs, unless it is there. `name` is for what is printed.
 *
 * @param {string} dir
 * @param {string} name
 */
export async function install(dir, name) {
  if (isInstalled(dir)) {
    console.log(`setup: ${name} are installed`)
    return
  }
  console.log(`setup: installing ${name}`)
  // No dependency needs its install script: those that have one only check or rebuild what they ship.
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const status = await npm(['ci', ...quiet], { cwd: dir })
  if (status !== 0) throw new Error(`npm ci failed with exit code ${status}, in ${dir}`)
}
