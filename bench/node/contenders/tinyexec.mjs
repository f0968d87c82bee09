import { x } from 'tinyexec'

export const open = () => ({
  start: () => x('/bin/true', [], { nodePath: false, nodeOptions: { stdio: 'ignore' } }),

  /** @param {string} program @param {string[]} args */
  async lines(program, args) {
    let count = 0
    const options = { nodePath: false, nodeOptions: { stdio: ['ignore', 'pipe', 'ignore'] } }
    for await (const line of x(program, args, /** @type {any} */ (options))) if (line.length === 80) count += 1
    return count
  },
})
