// How many processes are started per second, and what the event loop has of it.

import { setImmediate } from 'node:timers/promises'
import { whileWatchingLoop } from './observe.mjs'

/** @typedef {{ contender: string, atOnce: number, starts: number, seconds: number, before?: number, ballast?: number }} Spec */

/** @param {Spec} spec `before`: how many are started before it is measured; `ballast`: what the host holds in buffers, in MiB */
export async function measure(spec) {
  const { open } = await import(`../contenders/${spec.contender}.mjs`)
  const { start } = open(spec)
  const ballast = Array.from({ length: spec.ballast ?? 0 }, () => Buffer.alloc(2 ** 20, 1))
  await many(start, { ...spec, starts: spec.before ?? spec.atOnce })
  const measured = await whileWatchingLoop(() => many(start, spec))
  return { ...measured, ballast: ballast.length }
}

/**
 * Starts so many, or as many as can be in that time.
 *
 * @param {() => Promise<unknown>} start
 * @param {Spec} spec
 */
async function many(start, { atOnce, starts, seconds }) {
  let started = 0
  const begun = performance.now()
  const until = begun + seconds * 1000
  const lane = async () => {
    while (started < starts && performance.now() < until) {
      started += 1
      await start()
      // Without a turn of the loop between starts, child_process and what is built on it let none happen at all: before
      // the signals of some exits have been handled, the starts that follow them have brought as many more.
      await setImmediate()
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return { rate: (started / (performance.now() - begun)) * 1000, amount: started }
}
