// Running the tools that the other scripts need.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * `onOutput` is given standard output too, `onErrors` standard error; `quiet` shows none of the former. `as` is the user
 * who runs the program, and what differs in the environment of that.
 *
 * @typedef {{ uid: number, gid: number, env: Record<string, string> }} User
 * @typedef {{ cwd?: string, onOutput?: (text: string) => void, onErrors?: (text: string) => void, quiet?: boolean, as?: User }} Options
 */

/**
 * Runs a program, at the root of the repository unless told otherwise, and shows what it prints.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {Options} [options]
 * @returns {Promise<number>} its exit code; 128 if a signal ended it
 */
export function run(program, args, { cwd = root, onOutput, onErrors, quiet = false, as } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      stdio: ['ignore', onOutput ? 'pipe' : 'inherit', onErrors ? 'pipe' : 'inherit'],
      ...(as && { uid: as.uid, gid: as.gid, env: { ...process.env, ...as.env } }),
    })
    child.stdout?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      if (!quiet) process.stdout.write(text)
      onOutput?.(text)
    })
    child.stderr?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      process.stderr.write(text)
      onErrors?.(text)
    })
    child.on('error', (error) => reject(new Error(`${program} could not be started: ${error.message}`)))
    child.on('close', (code) => resolve(code ?? 128))
  })
}

/**
 * Runs npm: the one that runs this script, if one does.
 *
 * @param {string[]} args
 * @param {Options} [options]
 */
export function npm(args, options) {
  const self = process.env['npm_execpath']
  if (self !== undefined && /\.c?js$/.test(self)) return run(process.execPath, [self, ...args], options)
  // On Windows npm is a batch file, which only a shell can start; the arguments here need no quoting.
  return process.platform === 'win32' ? run('cmd', ['/c', 'npm', ...args], options) : run('npm', args, options)
}
