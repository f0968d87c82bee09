// `node bench/node/readme.mjs`: puts figures of bench/node/results.json into the README, and draws the chart from them.

import { readFileSync, writeFileSync } from 'node:fs'
import { drawStarts } from './chart.mjs'
import { own } from './rows/types.mjs'

const readme = new URL('../../README.md', import.meta.url)
const results = JSON.parse(readFileSync(new URL('results.json', import.meta.url), 'utf8'))

/** The rows of the short table: where a figure is, and what it is called there. */
const shown = [
  ['starts-16', 'starts/s, 16 at once', 0, 'posix_spawn + wait in C', '`posix_spawn` in C'],
  ['starts-1gib', 'the same with 1 GiB of buffers in the host', 0],
  ['lines', 'million lines/s to a callback', 1, 'data + split by hand', '`data` + `split`'],
  ['read', 'reading 1 GiB, GB/s', 1, 'head | cat >/dev/null', '`head \\| cat`'],
]

/** What a column is called in the rows. */
const columns = [
  [own],
  ['child_process', 'readline', "child_process 'data'"],
  ['execa'],
  ['tinyexec'],
  ['zx (bash)'],
  ['Bun', 'Bun, split by hand'],
]

/** @param {any} row @param {string[]} names @param {number} digits */
function cell(row, names, digits) {
  const found = names.map((name) => row.metrics[0].contenders[name]).find(Boolean)
  return found ? found.median.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, ' ') : ''
}

function table() {
  const lines = shown.map(([id, title, digits, byHand, how]) => {
    const row = results.rows.find((/** @type {any} */ row) => row.id === id)
    if (row === undefined) throw new Error(`bench/node/results.json has no row ${id}`)
    const cells = columns.map((names) => cell(row, names, Number(digits)))
    const last = byHand === undefined ? '' : `${cell(row, [String(byHand)], Number(digits))} (${how})`
    return `| ${[title, ...cells, last].join(' | ')} |`
  })
  const titles = ['', 'this package', '`child_process`', 'execa', 'tinyexec', 'zx', 'Bun', 'by hand']
  return [`| ${titles.join(' | ')} |`, `| --- ${'| ---: '.repeat(titles.length - 1)}|`, ...lines].join('\n')
}

function caption() {
  const { machine, versions, rounds } = results
  return `Medians of ${rounds} rounds on ${machine.cpus} × ${machine.cpu}, ${machine.system}, Node ${versions.node}.`
}

const begin = '<!-- bench/node/readme.mjs writes from here -->'
const end = '<!-- to here -->'
const text = readFileSync(readme, 'utf8')
const [from, to] = [text.indexOf(begin), text.indexOf(end)]
if (from === -1 || to < from) throw new Error(`README.md has no ${begin} … ${end}`)
writeFileSync(readme, `${text.slice(0, from + begin.length)}\n\n${table()}\n\n${caption()}\n\n${text.slice(to)}`)
drawStarts(results.rows)
