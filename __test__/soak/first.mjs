// A host that is process 1 of its namespace, and so adopts what its commands leave: `node first.mjs COUNT`. Prints what is
// left of that many executions as JSON.

import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const { ExecutionEngine } = createRequire(import.meta.url)('../..')
const count = Number(process.argv[2])
const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })

/** Children whose parents end at once: they leave quietly, alone or as a tree, hold the output, or end by themselves. */
const lines = [
  '(setsid sleep 600 >/dev/null 2>&1 &); exit 0',
  '(sleep 600 &); exit 0',
  '(sleep 0.05 >/dev/null 2>&1 &); exit 0',
  '(setsid sh -c "sleep 600 & sleep 600" >/dev/null 2>&1 &); exit 0',
]

/** All other processes, with their state, whoever started them. */
function others() {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return []
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
      const state = stat.slice(stat.lastIndexOf(')') + 2)[0]
      return [{ state, line: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim() }]
    } catch {
      return []
    }
  })
}

/** @param {string} command @returns {import('../..').ExecutionRequest} */
const shell = (command) => ({ command: { type: 'shell', command, shell: 'sh' } })

// The guardian lives as long as the host, and looks the same when it was started again.
await engine.run(shell('true'))
const usual = new Set(others().map(({ line }) => line))

let succeeded = 0
let next = 0
const work = async () => {
  while (next < count) {
    const result = await engine.run(shell(lines[next++ % lines.length]))
    if (result.success && result.error === null) succeeded += 1
  }
}
await Promise.all(Array.from({ length: 8 }, work))

const left = () => others().filter(({ state, line }) => state === 'Z' || state === 'X' || !usual.has(line))
const end = Date.now() + 5000
while (left().length > 0 && Date.now() < end) await sleep(20)
const zombies = left().filter(({ state }) => state === 'Z').length
const running = left()
  .filter(({ state }) => state !== 'Z')
  .map(({ line }) => line)
console.log(JSON.stringify({ pid: process.pid, succeeded, zombies, running }))
process.exit()
