// The one table.

import { judge, valuesOf } from './judge.mjs'
import { own } from './rows/types.mjs'
import { ratio, summary } from './statistics.mjs'

const widths = [36, 10, 17, 14, 18, 10]

/** @param {string[]} cells */
const line = ([first = '', ...others]) =>
  ['  ' + first.padEnd(widths[0] ?? 0), ...others.map((cell, i) => cell.padStart(widths[i + 1] ?? 0))]
    .join(' ')
    .trimEnd()

/** @param {number} value @param {number} digits */
const show = (value, digits) =>
  value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits }).replaceAll(',', ' ')

/** @param {number} us in microseconds */
const duration = (us) => (us < 1000 ? `${Math.round(us)} µs` : `${Number((us / 1000).toPrecision(3))} ms`)

export const header = () =>
  [line(['', 'median', 'least – most', 'loop p99, ms', 'host CPU', 'engine ×']) + '  target', ''].join('\n')

/** @param {import('./rounds.mjs').Measured} measured @returns {string} */
export function tableOf({ row, samples, missing }) {
  const lines = [row.title]
  for (const metric of row.metrics) {
    for (const name of Object.keys(row.contenders)) {
      const label = row.metrics.length > 1 ? metric.title : name
      const cells = samples[name] && contenderCells(metric, name, samples)
      lines.push(cells ? line([label, ...cells]) + verdicts(metric, name, samples) : line([label]) + missing[name])
    }
  }
  return lines.join('\n') + '\n'
}

/**
 * @param {import('./rows/types.mjs').Metric} metric
 * @param {string} name
 * @param {import('./rounds.mjs').Measured['samples']} samples
 */
function contenderCells({ field, digits, cpuPer }, name, samples) {
  const values = valuesOf(samples[name], field)
  const { median, least, most } = summary(values)
  const spread = `${show(least, digits)} – ${show(most, digits)}`
  const stalls = samples[name].flatMap(({ p99 }) => p99 ?? [])
  const stall = stalls.length > 0 ? show(summary(stalls).median, 1) : ''
  const cpu = samples[name].flatMap(({ cpu }) => cpu ?? [])
  const cost = cpuPer !== undefined && cpu.length > 0 ? `${duration(summary(cpu).median)}/${cpuPer}` : ''
  const times = name === own || !samples[own] ? '' : show(ratio(valuesOf(samples[own], field), values), 2)
  return [show(median, digits), spread, stall, cost, times]
}

/**
 * @param {import('./rows/types.mjs').Metric} metric
 * @param {string} name
 * @param {import('./rounds.mjs').Measured['samples']} samples
 */
function verdicts({ field, targets = [] }, name, samples) {
  const verdicts = targets
    .flatMap((target) => judge(target, field, samples) ?? [])
    .filter(({ versus }) => versus === name)
  return verdicts.map(({ asked, reached }) => `  ${asked}: ${reached ? 'reached' : 'MISSED'}`).join('')
}
