// Processes that carry a mark on their command line, counted by the operating system; and waiting for what nothing tells of.

import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

let marks = 0

/** A number of seconds to sleep that nobody else sleeps: it marks a process on its command line. */
export const newMark = (): string => {
  marks += 1
  return `9${String(process.pid % 1000).padStart(3, '0')}.${String(Date.now() % 1e7)}${marks}1`
}

/** The live processes that carry the mark. A zombie is dead. */
export const survivors = (mark: string): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0) || pid === process.pid) return false
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
        return line.includes(mark) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
      } catch {
        return false
      }
    })

/** Waits until that many processes carry the mark; fails after a while. */
export async function untilThere(mark: string, count: number, ms = 15_000): Promise<void> {
  await until(() => survivors(mark).length === count, `${count} processes with the mark`, ms)
}

/** Waits for a condition that nothing tells of. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 15_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`expected ${what} within ${ms} ms`)
    await sleep(10)
  }
}
