// Measures the package beside BullMQ with a sandboxed processor, and with execa inside a processor: `npm run bench`, some
// five minutes. `--readme` writes the table into the README. Each figure is the median of several rounds, in which the
// contenders take turns.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { startServer } from '../test/support/server.mjs'

/** @typedef {import('./contenders/contender').Contender} Contender */
/** @typedef {import('./contenders/contender').Submitting} Submitting */

const here = fileURLToPath(new URL('.', import.meta.url))

const ROUNDS = 3
const CONCURRENCY = 8
const WORKERS = [1, 2, 4]

/** @type {[key: string, title: string][]} */
const contenders = [
  ['ours', 'this package'],
  ['sandboxed', 'BullMQ, sandboxed processor'],
  ['execa', 'BullMQ, execa in a processor'],
]

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** How many jobs of `true` end in a second, when many wait. @param {Submitting} queue */
async function jobs(queue) {
  const count = 300
  const begun = performance.now()
  await Promise.all(Array.from({ length: count }, () => queue.run('true', [])))
  return count / ((performance.now() - begun) / 1000)
}

/** From the call to the first line, in milliseconds, when nothing else is there. @param {Submitting} queue */
async function firstLine(queue) {
  const times = []
  for (let i = 0; i < 20; i++) {
    const begun = performance.now()
    let at = Number.NaN
    await queue.run('echo', ['line'], () => (at = performance.now() - begun))
    times.push(at)
  }
  return median(times)
}

/**
 * Lines that reach the submitter in a second, of one command for each worker at once.
 *
 * @param {Submitting} queue
 * @param {number} workers
 * @param {string} contender
 */
async function lines(queue, workers, contender) {
  // As many as take a second or so.
  const count = contender === 'ours' ? 200_000 : 3000
  let seen = 0
  const begun = performance.now()
  await Promise.all(Array.from({ length: workers }, () => queue.run('seq', [String(count)], () => (seen += 1))))
  const rate = seen / ((performance.now() - begun) / 1000)
  if (seen !== count * workers) console.log(`bench: ${contender}: ${seen} of ${count * workers} lines arrived`)
  return rate
}

/** @typedef {{ jobs: number[], firstLine: number[], lines: number[], lost: boolean }} Figures */

/**
 * One round of a contender.
 *
 * @param {number} port
 * @param {string} contender
 * @param {number} workers
 * @param {Figures} figures
 */
async function round(port, contender, workers, figures) {
  const name = `bench-${contender}-${workers}-${figures.jobs.length}`
  const args = [contender, String(port), name, String(CONCURRENCY)]
  const children = Array.from({ length: workers }, () => fork(`${here}/worker.mjs`, args))
  await Promise.all(children.map((child) => once(child, 'message')))
  const { submit } = /** @type {Contender} */ (await import(`./contenders/${contender}.mjs`))
  const queue = await submit({ host: '127.0.0.1', port }, name)
  // Connections, scripts and child processes are there.
  await Promise.all(Array.from({ length: 2 * CONCURRENCY * workers }, () => queue.run('true', [])))
  figures.jobs.push(await jobs(queue))
  figures.firstLine.push(await firstLine(queue))
  figures.lines.push(await lines(queue, workers, contender))
  await queue.close()
  for (const child of children) child.disconnect()
  await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')))
}

/** @type {Map<string, Figures>} */
const all = new Map()
const server = await startServer()
for (const workers of WORKERS) {
  for (let i = 0; i < ROUNDS; i++) {
    for (const [contender] of contenders) {
      const key = `${contender} ${workers}`
      const figures = all.get(key) ?? { jobs: [], firstLine: [], lines: [], lost: false }
      all.set(key, figures)
      await round(server.port, contender, workers, figures)
      const [a = 0, b = 0, c = 0] = [figures.jobs, figures.firstLine, figures.lines].map((values) => values.at(-1))
      console.log(`bench: ${key}: ${a.toFixed(0)} jobs/s, first line ${b.toFixed(1)} ms, ${c.toFixed(0)} lines/s`)
    }
  }
}
await server.close()

const rounded = (/** @type {number} */ value) => {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1)
  return (Math.round(value / unit) * unit).toLocaleString('en').replaceAll(',', ' ')
}

/** @param {'jobs' | 'firstLine' | 'lines'} what @param {string} title */
const rows = (what, title) =>
  contenders.map(([contender, name]) => {
    const cells = WORKERS.map((workers) => {
      const value = median(all.get(`${contender} ${workers}`)?.[what] ?? [])
      return what === 'firstLine' ? value.toFixed(1) : rounded(value)
    })
    return `| ${title} | ${name} | ${cells.join(' | ')} |`
  })

const manifest = (/** @type {string} */ path) =>
  JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version
const table = [
  `|  |  | ${WORKERS.map((workers) => `${workers} worker${workers > 1 ? 's' : ''}`).join(' | ')} |`,
  '| --- | --- | --: | --: | --: |',
  ...rows('jobs', 'jobs of `true` a second'),
  ...rows('firstLine', 'from the call to the first line, ms'),
  ...rows('lines', 'lines a second to the submitter'),
  '',
  `Median of ${ROUNDS} rounds on ${cpus().length} cores of ${cpus()[0]?.model.trim()}, Node ${process.versions.node}, ` +
    `BullMQ ${manifest('../node_modules/bullmq/package.json')}, execa ${manifest('../node_modules/execa/package.json')}; ` +
    `workers (${CONCURRENCY} at once each), server and submitter on one machine.`,
].join('\n')
console.log(`\n${table}`)
if (process.argv.includes('--readme')) {
  const file = new URL('../README.md', import.meta.url)
  const marks = /(<!-- bench\/run\.mjs writes from here -->\n)[\s\S]*(\n<!-- bench: to here -->)/
  const readme = readFileSync(file, 'utf8')
  if (!marks.test(readme)) throw new Error('the README has no place for the table')
  writeFileSync(
    file,
    readme.replace(marks, (_, before, after) => `${before}\n${table}\n${after}`),
  )
}
