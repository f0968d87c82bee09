// The shapes of what is measured.

/**
 * @typedef {object} Row
 * @property {string} id
 * @property {string} title
 * @property {Record<string, import('../sample.mjs').TakeSample | undefined>} contenders `undefined`: not installed
 * @property {Metric[]} metrics
 * @property {number} [ballast] what each of its processes holds in buffers, in MiB
 */

/**
 * A field of the samples that is shown.
 *
 * @typedef {object} Metric
 * @property {string} field
 * @property {string} title
 * @property {number} digits
 * @property {string} [cpuPer] what the processor time of its samples is for
 * @property {Target[]} [targets]
 */

/**
 * - `versus` and `atLeast`: so many times that contender
 * - `field` and `below`: less than that, in that field
 * - `field` and `sameAs`: as much as in another field
 *
 * @typedef {{ versus: string, atLeast: number }
 *   | { field: string, below: number, unit: string }
 *   | { field: string, sameAs: string }} Target
 */

/** The name of the contender that everything is compared to. */
export const own = 'this package'
