// `npm run bench`: this package beside what it is an alternative to, and beside the floor. Same work, same run.

import { drawStarts } from './chart.mjs'
import { describeMachine, spareMemory, versions } from './machine.mjs'
import { readOptions, usage } from './options.mjs'
import { findBun, installPeers } from './peers.mjs'
import { resultsOf, writeResults } from './results.mjs'
import { isFailure, measureRow, skippedRow } from './rounds.mjs'
import { allRows } from './rows/index.mjs'
import { header, tableOf } from './table.mjs'
import { withTools } from './tools.mjs'

/** @param {ReturnType<typeof readOptions>} options */
async function bench(options) {
  await installPeers()
  await withTools((tools) => {
    const circumstances = { tools, bun: findBun(), quick: options.quick }
    const all = allRows(circumstances)
    const rows = all.filter(({ id }) => isWanted(id, all, options.only))
    if (options.list) return console.log(all.map(({ id, title }) => `${id.padEnd(18)} ${title}`).join('\n'))
    if (rows.length === 0) throw new Error(`--only ${options.only.join(' ')}: no such row; see --list`)
    measureAll(rows, options, rows.length === all.length && !options.quick)
  })
}

/**
 * @param {string} id
 * @param {import('./rows/types.mjs').Row[]} all
 * @param {string[]} only ids, or what several ids begin with
 */
const isWanted = (id, all, only) =>
  only.length === 0 || only.some((one) => (all.some(({ id }) => id === one) ? id === one : id.startsWith(one)))

/**
 * @param {import('./rows/types.mjs').Row[]} rows
 * @param {ReturnType<typeof readOptions>} options
 * @param {boolean} complete
 */
function measureAll(rows, { quick, rounds }, complete) {
  const about = { machine: describeMachine(), versions: versions(), quick, rounds }
  console.log(title(about))
  console.log(header())
  const measured = rows.map((row) => {
    const spare = spareMemory()
    const fits = (row.ballast ?? 0) <= spare
    const result = fits ? measureRow(row, rounds) : skippedRow(row, `skipped: only ${spare} MiB of memory to spare`)
    console.log(tableOf(result))
    return result
  })
  const results = resultsOf(measured)
  const file = complete ? 'results.json' : 'results.partial.json'
  writeResults(new URL(file, import.meta.url), about, results)
  console.log(`every sample: bench/node/${file}`)
  if (!quick && drawStarts(results)) console.log('the chart: docs/assets/starts.svg')
  if (measured.some(({ missing }) => Object.values(missing).some(isFailure))) process.exitCode = 1
}

/** @param {{ machine: ReturnType<typeof describeMachine>, versions: ReturnType<typeof versions>, quick: boolean, rounds: number }} about */
function title({ machine, versions, quick, rounds }) {
  const { cpus, cpu, memoryGiB, system, libc, loadBefore, date } = machine
  const known = Object.entries(versions).map(([name, version]) => `${name} ${version ?? 'not installed'}`)
  return `
${cpus} × ${cpu}, ${memoryGiB} GiB, ${system}, ${libc}; load before: ${loadBefore.join(' ')}; ${date}
${known.join(', ')}
${rounds} rounds, interleaved, each sample in a process of its own. Median of the rounds; "engine ×" is how many times
the contender this package is: the median of the ratios within each round. "host CPU" is without that of the children.${quick ? ' QUICK: rough figures.' : ''}
`
}

try {
  await bench(readOptions())
} catch (error) {
  console.error(`bench: ${/** @type {Error} */ (error).message}\n\n${usage}`)
  process.exitCode = 1
}
