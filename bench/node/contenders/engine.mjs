// This package.

import { createRequire } from 'node:module'

/**
 * @param {{ config?: import('../../..').ExecutionConfig, byName?: string, secrets?: number }} spec `byName`: the
 *   directory to put in front of the PATH and to run in, where the program is given by its bare name; `secrets`: how many
 *   what is read is masked for
 */
export function open({ config, byName, secrets = 0 }) {
  const { ExecutionEngine } = /** @type {typeof import('../../..')} */ (createRequire(import.meta.url)('../../..'))
  const engine = new ExecutionEngine({ logOutput: false, ...config })
  const start = byName
    ? {
        ...exec('true'),
        env: { PATH: `${byName}:${process.env['PATH']}` },
        workingDir: byName,
      }
    : exec('/bin/true')
  // Without any, the request is the one of those who know of none.
  const masking = secrets === 0 ? {} : { secrets: Array.from({ length: secrets }, secret) }
  return {
    engine,
    start: () => engine.run(start),

    /** @param {string} program @param {string[]} args */
    async lines(program, args) {
      let count = 0
      await engine.run(exec(program, args), {
        onStdout: (line) => {
          if (line.length === 80) count += 1
        },
      })
      return count
    },

    /** @param {string} program @param {string[]} args */
    async iterate(program, args) {
      let count = 0
      for await (const event of engine.stream(exec(program, args))) {
        if (event.eventType === 'stdout' && event.line.length === 80) count += 1
      }
      return count
    },

    /** @param {string} program @param {string[]} args */
    read: async (program, args) => (await engine.run({ ...exec(program, args), ...masking })).stdoutBytes,
  }
}

/** @param {string} program @param {string[]} [args] */
export const exec = (program, args = []) => /** @type {const} */ ({ command: { type: 'exec', program, args } })

/** A secret with characters that are quoted and escaped, so that it has many forms. @param {unknown} _ @param {number} number */
function secret(_, number) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+$&\'\\"<=@'
  const letter = (/** @type {number} */ index) => letters[((number + 1) * 7919 * (index + 3) * (index + 11)) % 72]
  return Array.from({ length: 40 }, (_, index) => letter(index)).join('')
}
