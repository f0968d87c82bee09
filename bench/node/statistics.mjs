/** @param {number[]} values not empty */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** @param {number[]} values not empty */
export const summary = (values) => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
})

/**
 * How many times the others the values are: the median of the rounds, each of which had the same minute for both.
 *
 * @param {number[]} values
 * @param {number[]} others
 */
export const ratio = (values, others) => median(values.map((value, round) => value / others[round]))
