// What the figures were measured on.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, freemem, loadavg, release, totalmem, type } from 'node:os'
import { findBun, peerVersions } from './peers.mjs'

/** @param {string} program @param {string[]} args */
function firstLine(program, ...args) {
  try {
    const text = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return text.split('\n')[0]?.trim()
  } catch {
    return undefined
  }
}

export function describeMachine() {
  const [cpu] = cpus()
  const { glibcVersionRuntime } = /** @type {any} */ (process.report.getReport()).header
  return {
    cpus: cpus().length,
    cpu: cpu?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    libc: glibcVersionRuntime ? `glibc ${glibcVersionRuntime}` : 'another libc',
    loadBefore: loadavg().map((load) => Number(load.toFixed(2))),
    date: new Date().toISOString(),
  }
}

/** @returns {Record<string, string | undefined>} */
export const versions = () => ({
  'this package': JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version,
  commit: firstLine('git', 'describe', '--always', '--dirty'),
  node: process.versions.node,
  ...peerVersions(),
  bun: findBun()?.version,
  rustc: firstLine('rustc', '--version'),
  cc: firstLine('cc', '--version'),
})

/** How much memory a measurement may take, in MiB, so that nothing else has to give way. */
export function spareMemory() {
  const limit = process.constrainedMemory?.() || Infinity
  return Math.floor(Math.min(freemem(), limit - process.memoryUsage.rss()) / 2 ** 20) - 512
}
