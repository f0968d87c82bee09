// The chart of the README: starts, and what the event loop has of them, against the memory of the host.

import { mkdirSync, writeFileSync } from 'node:fs'
import { valuesOf } from './judge.mjs'
import { own } from './rows/types.mjs'
import { lines, linear, logarithmic } from './plot.mjs'
import { summary } from './statistics.mjs'

const folder = new URL('../../docs/assets/', import.meta.url)

/** Each with its colour on a light ground, and on a dark one. */
const contenders = [
  { name: own, className: 'own', light: '#c2410c', dark: '#fb923c' },
  { name: 'child_process', className: 'node', light: '#2563eb', dark: '#60a5fa' },
  { name: 'execa', className: 'execa', light: '#7c3aed', dark: '#c4b5fd' },
  { name: 'Bun', className: 'bun', light: '#0f766e', dark: '#2dd4bf' },
]

/** @param {'light' | 'dark'} ground */
const colours = (ground) =>
  contenders
    .map(
      ({ className: c, [ground]: colour }) =>
        `.${c} .line, .${c} .spread { stroke: ${colour} } .${c} .dot, .${c} .label { fill: ${colour} }`,
    )
    .join('\n  ')

// The ground is the chart's own, so that it can be read whatever it is shown on.
const style = `
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; fill: #3d4450 }
  .title { font-size: 15px; font-weight: 600; fill: #1b2028 } .label { font-weight: 600 }
  .card { fill: #ffffff; stroke: #d5dae1 } .grid { stroke: #e6e9ee } .axis { stroke: #8b93a1 }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round } .spread { stroke-width: 1.5; opacity: 0.55 }
  ${colours('light')}
  @media (prefers-color-scheme: dark) {
  text { fill: #c3cad5 } .title { fill: #f0f3f7 }
  .card { fill: #14181f; stroke: #343b47 } .grid { stroke: #272d37 } .axis { stroke: #7d8796 }
  ${colours('dark')}
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
      x: 446,
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
  contenders
    .map(({ name, className }) => ({
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
