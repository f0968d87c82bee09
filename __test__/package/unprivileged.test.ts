// What only a host can show that is not root: processes that it may neither signal nor look into. `npm test` runs this
// file as another user, and provides the program: it belongs to root, and goes on while a file exists.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { newEngine, newMark, shell, survivors, temporary, until, untilThere } from './support.js'

const rooted = String(process.env['ROOTED_PROGRAM'])

/** How long the engine waits for what does not vanish although it was killed, and room for a busy machine. */
const PATIENCE = 5000 + 2000

/** A file that goes with the test; what belongs to root ends with it, as nobody else can end it. */
function newLease(): string {
  const file = join(temporary(), 'lease')
  writeFileSync(file, '')
  onTestFinished(async () => {
    rmSync(file, { force: true })
    await until(() => survivors(file).length === 0, 'what belongs to root to end')
  })
  return file
}

/** Starts it, and waits until it has said who is root's. */
async function started(command: string, lease: string, config = {}) {
  const engine = newEngine({ terminationGraceMs: 300, ...config })
  let said = ''
  const id = await engine.execute(shell(command), { onStdout: (line) => void (said += line) })
  await until(() => said !== '', 'the program of root to be there')
  const pid = Number(said)
  expect(survivors(lease)).toContain(pid)
  expect(() => process.kill(pid, 0)).toThrow('EPERM')
  return { engine, id, pid }
}

test('this host is not root, and its program is', async () => {
  expect(process.getuid?.()).toBeGreaterThan(0)
  const lease = newLease()
  const { engine, id } = await started(`'${rooted}' '${lease}'`, lease)
  rmSync(lease)
  expect(await engine.waitForCompletion(id)).toMatchObject({ status: 'completed', error: null, survivors: [] })
})

test('a member that may not be signalled is told in the result, the others are ended, and nothing waits for long', async () => {
  const [lease, mark] = [newLease(), newMark()]
  const { engine, id, pid } = await started(
    `sleep ${mark} & setsid sleep ${mark} & '${rooted}' '${lease}' & wait`,
    lease,
  )
  // The shell has the mark on its command line as well.
  await untilThere(mark, 3)
  const asked = Date.now()
  await engine.cancel(id)
  expect(Date.now() - asked).toBeLessThan(300 + PATIENCE)
  const result = await engine.getResult(id)
  expect(result).toMatchObject({ status: 'cancelled', errorCode: 'IO', survivors: [pid] })
  expect(result.error).toContain(String(pid))
  expect(survivors(mark)).toEqual([])
  expect(survivors(lease)).toEqual([pid])
})

test('a command that may not be signalled itself is told in the result, and nothing waits for long', async () => {
  const lease = newLease()
  const { engine, id, pid } = await started(`exec '${rooted}' '${lease}'`, lease)
  const asked = Date.now()
  await engine.cancel(id)
  expect(Date.now() - asked).toBeLessThan(300 + PATIENCE)
  const result = await engine.getResult(id)
  expect(result).toMatchObject({ status: 'cancelled', exitCode: null, pid, errorCode: 'IO', survivors: [pid] })
  expect(result.error).toContain(String(pid))
  // What cannot be ended holds nobody else up.
  expect(await engine.run(shell('echo next'))).toMatchObject({ status: 'completed', stdout: 'next\n', error: null })
})

test('a process that cannot be looked into holds nothing up, and hides no other', async () => {
  const [lease, mark] = [newLease(), newMark()]
  const engine = newEngine()
  const begun = Date.now()
  const leave = `setsid sleep ${mark} >/dev/null 2>&1 & { '${rooted}' '${lease}' leaves & } | { read -r pid; echo "$pid"; }`
  const result = await engine.run(shell(leave))
  expect(result).toMatchObject({ status: 'completed', error: null })
  expect(Date.now() - begun).toBeLessThan(2000)
  await until(() => survivors(mark).length === 0, 'what left quietly to be ended', 1500)
  expect(survivors(lease)).toEqual([Number(result.stdout)])
  expect(await engine.run(shell('echo next'))).toMatchObject({ status: 'completed', stdout: 'next\n', error: null })
})
