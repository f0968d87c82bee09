// The chart of the README: starts, and what the event loop has of them, against the memory of the host.

import { mkdirSync, writeFileSync } from 'node:fs'
import { valuesOf } from './judge.mjs'
import { own } from './rows/types.mjs'
import { lines, linear, logarithmic } from './plot.mjs'
import { summary } from './statistics.mjs'

const folder = new URL('../docs/assets/', import.meta.url)

const classes = new Map([
  [own, 'own'],
  ['child_process', 'node'],
  ['execa', 'execa'],
  ['Bun', 'bun'],
])

const style = `
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; fill: #3d4450 }
  .card { fill: #ffffff; stroke: #d5dae1 } .grid { stroke: #e6e9ee } .axis { stroke: #8b93a1 }
  .title { font-size: 15px; font-weight: 600; fill: #1b2028 } .label { font-weight: 600 }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round } .spread { stroke-width: 1.5; opacity: 0.55 }
  .own { --c: #c2410c } .node { --c: #2563eb } .execa { --c: #7c3aed } .bun { --c: #0f766e }
  .line, .spread { stroke: var(--c) } .dot, .label { fill: var(--c) }
  @media (prefers-color-scheme: dark) {
    text { fill: #c3cad5 } .title { fill: #f0f3f7 }
    .card { fill: #14181f; stroke: #343b47 } .grid { stroke: #272d37 } .axis { stroke: #7d8796 }
    .own { --c: #fb923c } .node { --c: #60a5fa } .execa { --c: #c4b5fd } .bun { --c: #2dd4bf }
  }`

/** @typedef {{ id: string, ballastMiB?: number, samples: import('./rounds.mjs').Measured['samples'] }} Result */

/**
 * Draws what rows of the host's memory there are; says whether there were any to draw.
 *
 * @param {Result[]} results
 */
export function drawStarts(results) {
  const rows = results.filter(({ id }) => id.startsWith('host-memory-'))
  if (rows.length < 2) return false
  const sizes = rows.map(({ ballastMiB = 0 }) => `${ballastMiB / 1024}`)
  const rates = seriesOf(rows, 'rate')
  const stalls = seriesOf(rows, 'p99')
  const most = Math.max(...rates.flatMap(({ points }) => points.map((point) => point?.most ?? 0)))
  const panels = [
    lines({ x: 0, title: 'Starts per second (16 at once)', sizes, series: rates, scale: linear(most), show: count }),
    lines({
      x: 450,
      title: 'Event-loop delay meanwhile (p99)',
      sizes,
      series: stalls,
      scale: logarithmic(1, 10_000),
      show: time,
    }),
  ]
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL('starts.svg', folder), svg(panels))
  return true
}

/** @param {Result[]} rows @param {string} field */
const seriesOf = (rows, field) =>
  [...classes]
    .map(([name, className]) => ({
      name,
      className,
      points: rows.map(({ samples }) => samples[name] && summary(valuesOf(samples[name], field))),
    }))
    .filter(({ points }) => points.some(Boolean))

/** @param {string[]} panels */
const svg = (
  panels,
) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 372" width="900" height="372" role="img"
  aria-label="Starts per second and event-loop delay against the memory of the host">
<style>${style}
</style>
<rect class="card" x="0.5" y="0.5" width="899" height="371" rx="10"/>
${panels.join('\n')}
</svg>
`

const count = (/** @type {number} */ rate) => Math.round(rate).toLocaleString('en').replaceAll(',', '\u202f')

const time = (/** @type {number} */ ms) =>
  ms >= 1000 ? `${Number((ms / 1000).toPrecision(2))} s` : `${Number(ms.toPrecision(2))} ms`
