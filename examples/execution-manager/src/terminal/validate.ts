// `play validate`: whether files are playbooks.

import { loadPlaybook } from '../playbook/load.js'
import { failure } from './exit.js'
import { exitCodes } from './exit-codes.js'

/** @returns the exit code. */
export async function validate(files: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.completed
  for (const file of files) {
    try {
      const { playbook } = await loadPlaybook(file)
      process.stdout.write(`${file}: ${playbook.name}, ${String(Object.keys(playbook.steps).length)} steps\n`)
    } catch (error) {
      const { code, message } = failure(error)
      process.stderr.write(`${message}\n`)
      exitCode = code
    }
  }
  return exitCode
}
