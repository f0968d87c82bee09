// Contract, section 2, 11 to 15. The survivors are counted by the operating system.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type { ExecutionConfig, ExecutionRequest } from '../../index.js'
import { exec, host, newEngine, newMark, packagePath, shell, survivors, until, untilThere } from './support.js'

test('the count of survivors works', async () => {
  const mark = newMark()
  const child = spawn('sleep', [mark])
  await untilThere(mark, 1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(survivors(mark)).toEqual([])
})

test('a timeout ends the whole tree, also what left the group', async () => {
  const mark = newMark()
  const request = shell(`sh -c "sleep ${mark} & sleep ${mark}" & setsid sleep ${mark} & sleep ${mark}`, {
    timeoutMs: 300,
  })
  const result = await newEngine().run(request)
  expect(result).toMatchObject({ status: 'timeout', forced: false })
  expect(survivors(mark)).toEqual([])
})

/** Whose grace counts: that of the configuration, and that of the request before it. */
const graces: [string, ExecutionConfig, Partial<ExecutionRequest>][] = [
  ['the configuration', { terminationGraceMs: 300 }, {}],
  ['the request', { terminationGraceMs: 60_000 }, { terminationGraceMs: 300 }],
]

test.each(graces)(
  'what ignores SIGTERM is killed after the grace of %s, children with redirected output included',
  async (_, config, own) => {
    const mark = newMark()
    const engine = newEngine(config)
    const stubborn = `sh -c "trap '' TERM; sleep ${mark}; sleep ${mark}" >/dev/null 2>&1 & sleep ${mark}`
    const begun = Date.now()
    const result = await engine.run(shell(stubborn, { timeoutMs: 200, ...own }))
    expect(Date.now() - begun).toBeGreaterThanOrEqual(490)
    expect(Date.now() - begun).toBeLessThan(1500)
    expect(result).toMatchObject({ status: 'timeout', forced: true, survivors: [] })
    expect(survivors(mark)).toEqual([])
  },
)

test.each(graces)('what a command leaves running has the grace of %s', async (_, config, own) => {
  const mark = newMark()
  const stubborn = `sh -c "trap '' TERM; echo on; while :; do sleep 0.01; : ${mark}; done" & sleep 0.1`
  const begun = Date.now()
  const result = await newEngine(config).run(shell(stubborn, own))
  expect(Date.now() - begun).toBeLessThan(3500)
  expect(result).toMatchObject({ status: 'completed', forced: true, leftoverProcesses: true })
  expect(survivors(mark)).toEqual([])
})

test('a stopped tree obeys', async () => {
  const mark = newMark()
  const result = await newEngine().run(shell(`sleep ${mark} & kill -STOP $!; kill -STOP $$`, { timeoutMs: 200 }))
  expect(result).toMatchObject({ status: 'timeout', forced: false })
  expect(survivors(mark)).toEqual([])
})

test('what left the group and closed its output is found within a second', async () => {
  const mark = newMark()
  await newEngine().run(shell(`setsid sleep ${mark} >/dev/null 2>&1 & exit 0`))
  await until(() => survivors(mark).length === 0, 'no survivor', 1000)
})

test('keepBackground leaves the background alone', async () => {
  const mark = newMark()
  const result = await newEngine().run(shell(`sleep ${mark} >/dev/null 2>&1 & exit 0`, { keepBackground: true }))
  expect(result).toMatchObject({ status: 'completed', leftoverProcesses: false })
  await sleep(700)
  const kept = survivors(mark)
  expect(kept).toHaveLength(1)
  process.kill(kept[0], 'SIGKILL')
})

test('cancel resolves once nothing is left running', async () => {
  const mark = newMark()
  const engine = newEngine()
  const id = await engine.execute(shell(`sleep ${mark} & sleep ${mark}`))
  await untilThere(mark, 3)
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', success: false, signal: 'SIGTERM' })
  await expect(engine.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED' })
})

test('a second cancel does not wait for the grace', async () => {
  const engine = newEngine()
  let ready = () => {}
  const isReady = new Promise<void>((resolve) => (ready = resolve))
  const id = await engine.execute(shell("trap '' TERM; echo ready; while :; do sleep 0.01; done"), {
    onStdout: () => ready(),
  })
  await isReady
  const begun = Date.now()
  await Promise.all([engine.cancel(id), engine.cancel(id)])
  expect(Date.now() - begun).toBeLessThan(2000)
  expect((await engine.getResult(id)).forced).toBe(true)
})

test('what cannot be ended is told after five seconds, and nobody waits for it any longer', async () => {
  const mark = newMark()
  const engine = newEngine({ terminationGraceMs: 100 })
  // A tracer that has stopped keeps what it traces from vanishing, also once it was killed. It is none of the execution's.
  const untagged = ['-i', `PATH=${process.env.PATH}`]
  let pid = 0
  const id = await engine.execute(exec('env', ...untagged, 'strace', '-DDD', '-o', '/dev/null', 'sleep', mark), {
    onEvent: (event) => void (event.eventType === 'started' && (pid = event.pid)),
  })
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1')
  const tracer = () => Number(/^TracerPid:\t(\d+)$/m.exec(read('status'))?.[1])
  await until(() => pid > 0 && read('cmdline').startsWith('sleep') && tracer() > 0, 'a tracer')
  const stopped = tracer()
  process.kill(stopped, 'SIGSTOP')
  await engine.cancel(id)
  const result = await engine.getResult(id)
  expect(result).toMatchObject({ status: 'cancelled', forced: true, exitCode: null, signal: null, errorCode: 'IO' })
  expect(result.survivors).toEqual([pid])
  expect(result.error).toContain(`cancelled; processes [${pid}] could not be ended`)
  process.kill(stopped, 'SIGKILL')
  await until(() => !existsSync(`/proc/${pid}`), 'nothing left of it, not even a zombie')
}, 30_000)

test('a cancelled place in the queue never starts', async () => {
  const mark = newMark()
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
  const first = engine.run(shell('sleep 0.3'))
  const id = await engine.execute(exec('sleep', mark))
  expect(await engine.getStatus(id)).toBe('pending')
  await engine.cancel(id)
  await first
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', pid: null })
  expect(survivors(mark)).toEqual([])
})

test('shutdown in a burst ends all, is idempotent, and accepts no more', async () => {
  const mark = newMark()
  const engine = newEngine()
  const runs = Array.from({ length: 40 }, () => engine.run(shell(`sleep ${mark} & sleep ${mark}`)))
  await Promise.all([engine.shutdown(), engine.shutdown()])
  expect(survivors(mark)).toEqual([])
  expect(new Set((await Promise.all(runs)).map((result) => result.status))).toEqual(new Set(['cancelled']))
  await expect(engine.run(exec('true'))).rejects.toMatchObject({ code: 'SHUT_DOWN' })
})

test('an idle engine lets the event loop go, also one that is listened to', async () => {
  const { ended } = host(`
    engine.onEvent(() => {})
    engine.run({ command: { type: 'exec', program: 'true' } }).then(() => console.log('done'))`)
  expect(await ended).toMatchObject({ code: 0, printed: 'done\n', complained: '' })
})

test('a running execution keeps the event loop alive', async () => {
  const { ended } = host(`
    engine.execute({ command: { type: 'shell', command: 'sleep 0.5; echo late' } }, { onStdout: console.log })`)
  expect(await ended).toMatchObject({ code: 0, printed: 'late\n' })
})

const deaths: [string, string, NodeJS.Signals | undefined][] = [
  ['SIGKILL', '', 'SIGKILL'],
  ['SIGTERM', '', 'SIGTERM'],
  ['SIGINT', '', 'SIGINT'],
  ['SIGHUP', '', 'SIGHUP'],
  ['process.exit', 'setTimeout(() => process.exit(0), 100)', undefined],
  ['an uncaught exception', 'setTimeout(() => { throw new Error("meant") }, 100)', undefined],
  ['abort', 'setTimeout(() => process.abort(), 100)', undefined],
]

test.each(deaths)("the host's death by %s leaves nothing", async (_, last, signal) => {
  const mark = newMark()
  const { child, ended, said } = host(`
    const command = 'setsid sleep ${mark} & sh -c "sleep ${mark} & sleep ${mark}"'
    for (let i = 0; i < 5; i++) engine.execute({ command: { type: 'shell', command, shell: 'sh' } })
      .then(() => console.log('started'))
    ${last}`)
  if (signal) {
    await said('started\n'.repeat(5))
    child.kill(signal)
  }
  await ended
  await until(() => survivors(mark).length === 0, 'no survivor', 1000)
})

test("the host's death leaves nothing of what has cleared its environment, either", async () => {
  const mark = newMark()
  const { child, ended, said } = host(`
    const command = 'env -i sleep ${mark} & exec env -i sleep ${mark}'
    engine.onEvent(({ eventType }) => console.log(eventType))
    engine.execute({ command: { type: 'shell', command, shell: 'sh' } })`)
  await said('started')
  // The host has it on its command line, too.
  await untilThere(mark, 3)
  child.kill('SIGKILL')
  await ended
  await until(() => survivors(mark).length === 0, 'no survivor', 1000)
})

test('a guardian that dies is started again', async () => {
  const mark = newMark()
  const { child, ended, said } = host(`
    const { readdirSync, readFileSync } = require('node:fs')
    const isGuardian = (pid) => {
      try {
        const own = readFileSync('/proc/' + pid + '/stat', 'latin1').includes(' ' + process.pid + ' ')
        return own && readFileSync('/proc/' + pid + '/cmdline', 'latin1').includes('escher-guardian')
      } catch {}
    }
    const guardians = () => readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && isGuardian(name)).join()
    const command = 'env -i sleep ${mark} & sleep ${mark}'
    engine.execute({ command: { type: 'shell', command, shell: 'sh' } }).then(async () => {
      await new Promise((r) => setTimeout(r, 1100))
      const first = guardians()
      process.kill(Number(first), 'SIGKILL')
      while (guardians() === first || guardians() === '') await new Promise((r) => setTimeout(r, 5))
      console.log('again')
    })`)
  await said('again')
  child.kill('SIGKILL')
  await ended
  await until(() => survivors(mark).length === 0, 'no survivor', 1000)
})

test('a guardian is never given up, and takes nothing of a living host with it', async () => {
  const mark = newMark()
  const { child, ended, said } = host(`
    const { readdirSync, readFileSync } = require('node:fs')
    // Before it executes its program, a child has the command line of its host: this.
    const name = 'escher-' + 'guardian'
    const isGuardian = (pid) => {
      try {
        const own = readFileSync('/proc/' + pid + '/stat', 'latin1').includes(' ' + process.pid + ' ')
        return own && readFileSync('/proc/' + pid + '/cmdline', 'latin1').includes(name)
      } catch {}
    }
    const guardian = async (other) => {
      for (;;) {
        const found = readdirSync('/proc').find((name) => /^\\d+$/.test(name) && name !== other && isGuardian(name))
        if (found) return found
        await new Promise((r) => setTimeout(r, 2))
      }
    }
    engine.execute({ command: { type: 'exec', program: 'sleep', args: ['${mark}'] } }).then(async (id) => {
      let last
      for (let i = 0; i < 6; i++) process.kill(Number(last = await guardian(last)), 'SIGKILL')
      await guardian(last)
      console.log(await engine.getStatus(id))
    })`)
  await said('running\n')
  child.kill('SIGKILL')
  await ended
  await until(() => survivors(mark).length === 0, 'no survivor', 1000)
})

test('a worker that ends takes its own executions with it, and no one else’s', async () => {
  const [own, other] = [newMark(), newMark()]
  const engine = newEngine()
  const id = await engine.execute(exec('sleep', other))
  const worker = new Worker(
    `const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
     const engine = new ExecutionEngine({ logOutput: false })
     engine.execute({ command: { type: 'shell', command: 'sleep ${own} & sleep ${own}', shell: 'sh' } })
       .then(() => require('node:worker_threads').parentPort.postMessage('started'))`,
    { eval: true },
  )
  await once(worker, 'message')
  await untilThere(own, 3)
  await worker.terminate()
  await until(() => survivors(own).length === 0, 'no survivor', 2000)
  expect(survivors(other)).toHaveLength(1)
  await engine.cancel(id)
})

test('workers that end while their commands print do no harm, 20 times', async () => {
  for (let i = 0; i < 20; i++) {
    const mark = newMark()
    const worker = new Worker(
      `const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
       const engine = new ExecutionEngine({ logOutput: false })
       const command = { type: 'shell', command: 'while :; do echo ${mark}; done', shell: 'sh' }
       let told = false
       for (let i = 0; i < 4; i++) engine.execute({ command }, { onStdout() {
         if (!told) require('node:worker_threads').parentPort.postMessage('printed')
         told = true
       } })`,
      { eval: true },
    )
    await once(worker, 'message')
    await worker.terminate()
    await until(() => survivors(mark).length === 0, 'no survivor', 8000)
  }
})
