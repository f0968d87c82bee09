// This package.

import { createRequire } from 'node:module'

/**
 * @param {{ config?: import('../../..').ExecutionConfig, byName?: string }} spec `byName`: the directory to put in front
 *   of the PATH and to run in, where the program is given by its bare name
 */
export function open({ config, byName }) {
  const { ExecutionEngine } = /** @type {typeof import('../../..')} */ (createRequire(import.meta.url)('../../..'))
  const engine = new ExecutionEngine({ logOutput: false, ...config })
  const start = byName
    ? {
        ...exec('true'),
        env: { PATH: `${byName}:${process.env['PATH']}` },
        workingDir: byName,
      }
    : exec('/bin/true')
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
    read: async (program, args) => (await engine.run(exec(program, args))).stdoutBytes,
  }
}

/** @param {string} program @param {string[]} [args] */
export const exec = (program, args = []) => /** @type {const} */ ({ command: { type: 'exec', program, args } })
