// Bytes that are only counted.

import { whileWatchingLoop } from './observe.mjs'

/** @param {{ contender: string, bytes: number, log?: string }} spec `log`: what prints a log; else zeros are read */
export async function measure(spec) {
  const { open } = await import(`../contenders/${spec.contender}.mjs`)
  const { read } = open(spec)
  return whileWatchingLoop(async () => {
    const begun = performance.now()
    const size = await (spec.log === undefined
      ? read('head', ['-c', String(spec.bytes), '/dev/zero'])
      : read(spec.log, [String(spec.bytes)]))
    const seconds = (performance.now() - begun) / 1000
    if (size !== spec.bytes) throw new Error(`${spec.bytes} bytes, ${size} of them seen`)
    const amount = size / 1e9
    return { rate: amount / seconds, amount }
  })
}
