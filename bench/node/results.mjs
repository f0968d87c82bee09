// What a run leaves behind: every sample, with what it was taken on.

import { writeFileSync } from 'node:fs'
import { judge, valuesOf } from './judge.mjs'
import { summary } from './statistics.mjs'

/** @param {import('./rounds.mjs').Measured[]} measured */
export const resultsOf = (measured) =>
  measured.map(({ row: { id, title, ballast, metrics }, samples, missing }) => ({
    id,
    title,
    ...(ballast !== undefined && { ballastMiB: ballast }),
    metrics: metrics.map(({ field, title, targets = [] }) => ({
      field,
      title,
      contenders: Object.fromEntries(
        Object.entries(samples).map(([name, taken]) => [name, summary(valuesOf(taken, field))]),
      ),
      targets: targets.flatMap((target) => judge(target, field, samples) ?? []),
    })),
    samples,
    missing,
  }))

/**
 * @param {URL} file
 * @param {object} about the machine, the versions, the rounds
 * @param {ReturnType<typeof resultsOf>} rows
 */
export function writeResults(file, about, rows) {
  writeFileSync(file, JSON.stringify({ ...about, rows }, undefined, 1) + '\n')
}
