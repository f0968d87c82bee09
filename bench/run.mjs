// `npm run bench`: this package beside Node's own child_process, and beside the floor, in the same run. Every
// measurement has a process of its own; rounds are interleaved; medians are printed, with the spread.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROUNDS = 5
const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url))
const tools = mkdtempSync(join(tmpdir(), 'execution-engine-bench-'))
for (const tool of ['floor', 'lines']) execFileSync('cc', ['-O2', '-o', join(tools, tool), here(`${tool}.c`)])

/** @param {string} contender @param {string} work */
const node = (contender, work) => () =>
  JSON.parse(execFileSync(process.execPath, [here('measure.mjs'), contender, work, tools], { encoding: 'utf8' }))

/** @param {number} atOnce */
const floor = (atOnce) => () => ({
  rate: Number(execFileSync(join(tools, 'floor'), ['3000', String(atOnce)], { encoding: 'utf8' })),
})

const pipeFloor = () => {
  const begun = performance.now()
  execFileSync('sh', ['-c', 'head -c 1073741824 /dev/zero | cat >/dev/null'])
  return { rate: (2 ** 30 / (performance.now() - begun)) * 1000 }
}

/** @type {{ title: string, unit: number, contenders: Record<string, () => { rate: number, p99?: number }> }[]} */
const rows = [
  {
    title: 'starts/s, 16 at once',
    unit: 1,
    contenders: {
      engine: node('engine', 'starts-16'),
      child_process: node('child_process', 'starts-16'),
      'posix_spawn + wait': floor(16),
    },
  },
  {
    title: 'starts/s, one at a time',
    unit: 1,
    contenders: {
      engine: node('engine', 'starts-1'),
      child_process: node('child_process', 'starts-1'),
      'posix_spawn + wait': floor(1),
    },
  },
  {
    title: 'starts/s, 16 at once, 1 GiB of buffers',
    unit: 1,
    contenders: { engine: node('engine', 'starts-16-1gib'), 'engine without': node('engine', 'starts-16') },
  },
  {
    title: 'million lines/s to a callback',
    unit: 1e6,
    contenders: {
      engine: node('engine', 'lines'),
      'engine, logging': node('engine', 'lines-logged'),
      readline: node('child_process', 'lines'),
      'data + split': node('by_hand', 'lines'),
    },
  },
  {
    title: 'reading 1 GiB, GB/s',
    unit: 1e9,
    contenders: {
      engine: node('engine', 'read'),
      child_process: node('child_process', 'read'),
      'head | cat': pipeFloor,
    },
  },
]

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

const [cpu] = cpus()
console.log(`${cpus().length} x ${cpu?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`)
console.log(`Node ${process.versions.node}; ${ROUNDS} rounds, median (least to most), ratio of the medians\n`)
for (const { title, unit, contenders } of rows) {
  /** @type {Record<string, { rate: number, p99?: number }[]>} */
  const measured = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, measure] of Object.entries(contenders)) measured[name].push(measure())
  }
  console.log(title)
  const own = median(measured['engine'].map(({ rate }) => rate))
  for (const [name, results] of Object.entries(measured)) {
    const rates = results.map(({ rate }) => rate / unit).sort((a, b) => a - b)
    const digits = rates[0] < 100 ? 2 : 0
    const spread = `${median(rates).toFixed(digits)} (${rates[0].toFixed(digits)} to ${rates.at(-1)?.toFixed(digits)})`
    const p99 = results.flatMap((result) => result.p99 ?? [])
    const stall = p99.length > 0 ? `, event loop p99 ${median(p99).toFixed(1)} ms` : ''
    const ratio = name === 'engine' ? '' : `, engine is ${(own / median(rates) / unit).toFixed(2)} times that`
    console.log(`  ${name.padEnd(20)} ${spread}${stall}${ratio}`)
  }
}
rmSync(tools, { recursive: true })
