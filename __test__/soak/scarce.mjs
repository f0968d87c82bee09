// A host in which calls are made to fail: `node scarce.mjs CALL ERRNO`, with fail.c preloaded. Prints what became of its
// commands as JSON.

import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const { ExecutionEngine } = createRequire(import.meta.url)('../..')
const [call, errno, logDir] = process.argv.slice(2)
const engine = new ExecutionEngine({ logDir, orphanProtection: call !== 'pthread_create' })
const echo = /** @type {const} */ ({ command: { type: 'exec', program: 'echo', args: ['out'] } })

/** Fails the next so many of the calls. @param {number} count */
const fail = (count) => (process.env.FAIL = `${call}:${errno}:${count}`)
const descriptors = () => readdirSync('/proc/self/fd').length
const threads = () => readdirSync('/proc/self/task').length

/** @param {any} result */
const facts = ({ status, success, stdout, error, errorCode, leftoverProcesses }) => ({
  status,
  success,
  stdout,
  error,
  errorCode,
  leftoverProcesses,
})

// The call that makes a thread is only made when the engine begins.
if (call !== 'pthread_create') {
  await engine.run(echo)
  await engine.run(echo)
}
const before = { descriptors: descriptors(), threads: threads() }

const other = engine.run({ command: { type: 'exec', program: 'sleep', args: ['0.7'] } })
await sleep(100)
fail(3)
const amongOthers = facts(await engine.run(echo))
await other

fail(1_000_000)
const begun = performance.now()
// What has left the group can only be ended by a signal of its own.
const leaving = /** @type {const} */ ({
  command: { type: 'shell', command: 'setsid sleep 600 & echo out', shell: 'sh' },
})
const alone = await engine
  .run(call === 'pidfd_send_signal' ? leaving : echo)
  .then(facts, (error) => ({ rejected: error.code }))
const aloneMs = performance.now() - begun

delete process.env.FAIL
const afterwards = facts(await engine.run(echo))
await sleep(50)
const after = { descriptors: descriptors(), threads: threads() }
await engine.shutdown()
console.log(JSON.stringify({ amongOthers, alone, aloneMs, afterwards, before, after }))
