// Running the tools that the other scripts need.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Runs a program at the root of the repository, and shows what it prints.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ onOutput?: (text: string) => void, quiet?: boolean }} [options] `onOutput` is given standard output too;
 *   `quiet` shows none of it
 * @returns {Promise<number>} its exit code; 128 if a signal ended it
 */
export function run(program, args, { onOutput, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      stdio: ['ignore', onOutput ? 'pipe' : 'inherit', 'inherit'],
    })
    child.stdout?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      if (!quiet) process.stdout.write(text)
      onOutput?.(text)
    })
    child.on('error', (error) => reject(new Error(`${program} could not be started: ${error.message}`)))
    child.on('close', (code) => resolve(code ?? 128))
  })
}

/**
 * Runs npm: the one that runs this script, if one does.
 *
 * @param {string[]} args
 */
export function npm(args) {
  const self = process.env['npm_execpath']
  if (self !== undefined && /\.c?js$/.test(self)) return run(process.execPath, [self, ...args])
  // On Windows npm is a batch file, which only a shell can start; the arguments here need no quoting.
  return process.platform === 'win32' ? run('cmd', ['/c', 'npm', ...args]) : run('npm', args)
}
