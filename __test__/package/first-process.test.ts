// A host that is process 1, as in a container: what its commands leave is adopted by it, and reaped by nobody else.

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { asFirstProcess, noFirstProcess } from '../soak/parts/first.mjs'

const script = fileURLToPath(new URL('../soak/first.mjs', import.meta.url))

test('a host that is process 1 is left with no process and no zombie of its commands', async ({ skip }) => {
  const reason = await noFirstProcess()
  if (reason !== undefined) skip(reason)
  const { printed, complained } = await asFirstProcess([process.execPath, script, '20'])
  expect(complained).toBe('')
  expect(JSON.parse(printed)).toEqual({ pid: 1, succeeded: 20, zombies: 0, running: [] })
})
