// One measurement in a process of its own: `node measure.mjs CONTENDER WORK TOOLS`. Prints one number.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'

const [contender, work, tools] = process.argv.slice(2)
const STARTS = 1500
const LINES = 1_000_000
const BYTES = 2 ** 30

const load = () => {
  const { ExecutionEngine } = createRequire(import.meta.url)('..')
  return new ExecutionEngine({ logOutput: work === 'lines-logged' })
}

/** @param {string} program @param {string[]} args */
const exec = (program, args = []) => /** @type {const} */ ({ command: { type: 'exec', program, args } })

/** @type {Record<string, () => { start: () => Promise<unknown>, lines: () => Promise<number>, read: () => Promise<number> }>} */
const contenders = {
  engine() {
    const engine = load()
    return {
      start: () => engine.run(exec('/bin/true')),
      async lines() {
        let count = 0
        await engine.run(exec(`${tools}/lines`, [String(LINES)]), { onStdout: () => void (count += 1) })
        return count
      },
      read: async () => (await engine.run(exec('head', ['-c', String(BYTES), '/dev/zero']))).stdoutBytes,
    }
  },
  child_process: () => ({
    start: () => once(spawn('/bin/true', { stdio: 'ignore' }), 'exit'),
    async lines() {
      let count = 0
      const child = spawn(`${tools}/lines`, [String(LINES)])
      const lines = createInterface({ input: child.stdout, crlfDelay: Infinity })
      lines.on('line', () => void (count += 1))
      await once(lines, 'close')
      return count
    },
    async read() {
      let size = 0
      const child = spawn('head', ['-c', String(BYTES), '/dev/zero'])
      child.stdout.on('data', (chunk) => void (size += chunk.length))
      await once(child, 'close')
      return size
    },
  }),
  by_hand: () => ({
    ...contenders.child_process(),
    async lines() {
      let count = 0
      let rest = ''
      const child = spawn(`${tools}/lines`, [String(LINES)])
      child.stdout.setEncoding('latin1').on('data', (/** @type {string} */ text) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        count += lines.length
        for (const line of lines) if (line.length !== 80) throw new Error('not a line')
      })
      await once(child, 'close')
      return count
    },
  }),
}

/** @param {() => Promise<unknown>} start @param {number} atOnce */
async function startsPerSecond(start, atOnce) {
  await start()
  let left = STARTS
  const begun = performance.now()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await start()
    }),
  )
  return (STARTS / (performance.now() - begun)) * 1000
}

/** @param {() => Promise<number>} step @param {number} expected */
async function perSecond(step, expected) {
  const begun = performance.now()
  const found = await step()
  if (found !== expected) throw new Error(`expected ${expected}, found ${found}`)
  return (expected / (performance.now() - begun)) * 1000
}

const { start, lines, read } = contenders[contender]()
const ballast = work.endsWith('-1gib') ? Array.from({ length: 1024 }, () => Buffer.alloc(2 ** 20, 1)) : []
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const rate = await (work.startsWith('starts-16')
  ? startsPerSecond(start, 16)
  : work.startsWith('starts')
    ? startsPerSecond(start, 1)
    : work.startsWith('lines')
      ? perSecond(lines, LINES)
      : perSecond(read, BYTES))
delay.disable()
console.log(JSON.stringify({ rate, p99: delay.percentile(99) / 1e6, ballast: ballast.length }))
process.exit(0)
