// Runs under Bun. It has no lines of its own: they are cut by hand.

const pipe = /** @type {const} */ ({ stdin: 'ignore', stdout: 'pipe', stderr: 'ignore' })
const { Bun } = /** @type {any} */ (globalThis)

export const open = () => ({
  start: () => Bun.spawn(['/bin/true'], { stdio: ['ignore', 'ignore', 'ignore'] }).exited,

  /** @param {string} program @param {string[]} args */
  async lines(program, args) {
    let count = 0
    let rest = ''
    const decoder = new TextDecoder()
    for await (const chunk of Bun.spawn([program, ...args], pipe).stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line.length === 80) count += 1
    }
    return count
  },

  /** @param {string} program @param {string[]} args */
  async read(program, args) {
    let size = 0
    for await (const chunk of Bun.spawn([program, ...args], pipe).stdout) size += chunk.length
    return size
  },
})
