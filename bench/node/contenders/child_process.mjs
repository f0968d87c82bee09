// Node's own: lines through readline, bytes through 'data'.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export const open = () => ({
  start: () => once(spawn('/bin/true', { stdio: 'ignore' }), 'exit'),

  /** @param {string} program @param {string[]} args */
  async lines(program, args) {
    let count = 0
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    const lines = createInterface({ input: child.stdout, crlfDelay: Infinity })
    lines.on('line', (line) => {
      if (line.length === 80) count += 1
    })
    await once(lines, 'close')
    return count
  },

  /** @param {string} program @param {string[]} args */
  async read(program, args) {
    let size = 0
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    child.stdout.on('data', (chunk) => {
      size += chunk.length
    })
    await once(child, 'close')
    return size
  },
})
