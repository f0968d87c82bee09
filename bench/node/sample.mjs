// How one sample is taken: each in a process of its own, so that none disturbs another.

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const measure = fileURLToPath(new URL('measure.mjs', import.meta.url))
const load = fileURLToPath(new URL('works/load.cjs', import.meta.url))

/** @typedef {Record<string, number>} Sample */
/** @typedef {() => Sample} TakeSample */
/**
 * @typedef {object} Circumstances
 * @property {string} tools the directory of the small programs
 * @property {{ path: string, version: string } | undefined} bun
 * @property {boolean} quick
 */

/** @param {string} program @param {string[]} args */
const output = (program, args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], timeout: 300_000 })

/** In Node. @param {object} spec @returns {TakeSample} */
export const inNode = (spec) => () =>
  JSON.parse(output(process.execPath, ['--expose-gc', measure, JSON.stringify(spec)]))

/** In Bun, where it is installed. @param {Circumstances['bun']} bun @param {object} spec */
export const inBun = (bun, spec) =>
  bun === undefined ? undefined : () => JSON.parse(output(bun.path, [measure, JSON.stringify(spec)]))

/** @returns {Sample} */
export const loading = () => JSON.parse(output(process.execPath, [load]))

/** Starts in C. @param {string} tools @param {number} starts @param {number} atOnce @returns {TakeSample} */
export const startFloor = (tools, starts, atOnce) => () => ({
  rate: Number(output(`${tools}/floor`, [String(starts), String(atOnce)])),
})

/** Two programs and a pipe. @param {number} bytes @returns {TakeSample} */
export const readFloor = (bytes) => () => {
  const begun = performance.now()
  output('sh', ['-c', `head -c ${bytes} /dev/zero | cat >/dev/null`])
  return { rate: bytes / (performance.now() - begun) / 1e6 }
}
