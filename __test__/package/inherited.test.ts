// Contract, section 2: what a command inherits from the host, its variables and its directory, is that of the call.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExecutionEngine } from '../../index.js'
import { host, packagePath, temporary } from './support.js'

/** Changes the variables for 10 ms, and makes the list of them grow, which moves it. */
const change = `
  let changes = 0
  const change = () => {
    for (const end = performance.now() + 10; performance.now() < end; changes++) {
      process.env['CHANGED_' + (changes % 500)] = 'x'.repeat(changes % 97)
      if (changes % 500 === 0) for (let i = 0; i < 500; i++) delete process.env['CHANGED_' + i]
    }
  }`

/** Runs commands, most of which are refused, and resolves with how many of 100 succeeded: each looks at the variables. */
const work = `
  const work = async () => {
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false })
    const run = (timeoutMs) => engine.run({ command: { type: 'exec', program: 'true' }, timeoutMs })
    let succeeded = 0
    for (let i = 0; i < 100; i++) {
      await Promise.allSettled(Array.from({ length: 50 }, () => run(1e9)))
      if ((await run()).success) succeeded++
    }
    return succeeded
  }`

test('a worker runs commands while the main thread changes its variables', async () => {
  const { ended } = host(`{
    ${change}
    const { Worker } = require('node:worker_threads')
    const source = ${JSON.stringify(`${work}; work().then((count) => require('node:worker_threads').parentPort.postMessage(count))`)}
    let done = false
    new Worker(source, { eval: true }).on('message', (count) => { done = true; console.log(count) })
    const turn = () => { if (!done) { change(); setImmediate(turn) } }
    turn()
  }`)
  expect(await ended).toEqual({ code: 0, signal: null, printed: '100\n', complained: '' })
})

test('the main thread runs commands while a worker that shares its variables changes them', async () => {
  const { ended } = host(`{
    ${work}
    // Read by Rust, as long as there is no worker.
    engine.run({ command: { type: 'exec', program: 'true' } }).then(() => {
      const { Worker, SHARE_ENV } = require('node:worker_threads')
      const source = ${JSON.stringify(`${change}; setInterval(change, 15); require('node:worker_threads').parentPort.postMessage('')`)}
      const worker = new Worker(source, { eval: true, env: SHARE_ENV })
      worker.once('message', async () => {
        console.log(await work())
        await worker.terminate()
      })
    })
  }`)
  expect(await ended).toEqual({ code: 0, signal: null, printed: '100\n', complained: '' })
})

test('the variables are those of the call also once there is a worker', async () => {
  const { ended } = host(`
    const run = async () => (await engine.run({ command: { type: 'shell', command: 'printf %s "$A"' } })).stdout
    ;(async () => {
      process.env.A = '1'
      const before = await run()
      const { Worker } = require('node:worker_threads')
      const worker = new Worker('', { eval: true })
      process.env.A = '2 €'
      const changed = run()
      delete process.env.A
      console.log(before, await changed, await run(), '.')
    })()`)
  expect(await ended).toMatchObject({ printed: '1 2 €  .\n', complained: '' })
})

/** Tells which variables the addon asks for. */
const watcher = `
  #define _GNU_SOURCE
  #include <dlfcn.h>
  #include <stdio.h>
  #include <string.h>
  char *getenv(const char *name) {
    static char *(*real)(const char *);
    Dl_info caller;
    if (!real) real = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
    if (dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, "execution-engine"))
      dprintf(1, "%s is read\\n", name);
    return real(name);
  }`

test('in a worker the addon asks for no variable', async () => {
  const dir = temporary()
  const library = join(dir, 'watcher.so')
  writeFileSync(join(dir, 'watcher.c'), watcher)
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(dir, 'watcher.c'), '-ldl'])
  const inWorker = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine()
    const plan = { strategy: { type: 'serial' }, commands: [{ command: { type: 'shell', command: 'true' } }] }
    Promise.all([engine.run(plan.commands[0]), engine.runPlan(plan)]).then((all) => console.log(all.every((r) => r.success)))`
  const env = { ...process.env, LD_PRELOAD: library, TMPDIR: dir }
  const program = `new (require('node:worker_threads').Worker)(${JSON.stringify(inWorker)}, { eval: true })`
  expect(execFileSync(process.execPath, ['-e', program], { env, encoding: 'utf8' })).toBe('true\n')
})

test('logs are in the temporary directory that JavaScript sees', () => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = '/elsewhere/'
  try {
    expect(new ExecutionEngine().config.logDir).toBe(`/elsewhere/cloudops-executions-${process.geteuid?.()}`)
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
})

test('a variable with a NUL byte is refused, and adds no other one', async () => {
  const { ended } = host(`
    process.env = { ...process.env, A: 'a\\0B=b' }
    const show = { type: 'shell', command: 'printf %s "$B"' }
    ;(async () => {
      await engine.run({ command: show }).catch(({ code, message }) => console.log(code, message))
      console.log((await engine.run({ command: show, inheritEnv: false, env: { B: 'own' } })).stdout)
    })()`)
  const message = 'process.env.A: expected a text without NUL bytes, found one with a NUL byte'
  expect(await ended).toMatchObject({ printed: `VALIDATION ${message}\nown\n`, complained: '' })
})

test('a command starts in the directory of the call, wherever the host goes meanwhile', async () => {
  const [a, b] = [temporary(), temporary()]
  const { ended } = host(`{
    const [a, b] = ${JSON.stringify([a, b])}
    const run = (from) => {
      process.chdir(from)
      return engine.run({ command: { type: 'exec', program: 'pwd', args: ['-P'] } }).then(({ stdout }) => stdout === from + '\\n')
    }
    ;(async () => {
      let right = 0
      for (let i = 0; i < 100; i++) {
        const results = await Promise.all([a, b, a, b, a, b].map(run))
        right += results.filter(Boolean).length
      }
      console.log(right)
    })()
  }`)
  expect(await ended).toMatchObject({ printed: '600\n', complained: '' })
})

test('so does one that waits in the queue, in a plan, or whose directory was moved or made anew', async () => {
  const dir = temporary()
  const { ended } = host(`{
    const { mkdirSync, renameSync, rmSync, writeFileSync } = require('node:fs')
    const queue = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1, maxQueuedExecutions: 10 })
    const show = { command: { type: 'shell', command: 'cat name' } }
    const plan = { strategy: { type: 'serial' }, commands: [show, show] }
    const enter = (name) => {
      mkdirSync(${JSON.stringify(dir)} + '/here', { recursive: true })
      process.chdir(${JSON.stringify(dir)} + '/here')
      writeFileSync('name', name)
    }
    ;(async () => {
      const first = queue.run({ command: { type: 'exec', program: 'sleep', args: ['0.2'] } })
      enter('moved ')
      const moved = queue.run(show)
      renameSync(${JSON.stringify(dir)} + '/here', ${JSON.stringify(dir)} + '/there')
      enter('new ')
      const anew = [queue.run(show), queue.runPlan(plan)]
      process.chdir('/')
      const [a, b, { results }] = await Promise.all([moved, ...anew])
      console.log(a.stdout + b.stdout + results.map(({ stdout }) => stdout).join(''))
    })()
  }`)
  expect(await ended).toMatchObject({ printed: 'moved new new new \n', complained: '' })
})

test('one starts also where no path leads: the directory was removed, or the way to it may not be walked', async () => {
  const dir = temporary()
  const inner = join(dir, 'closed', 'inner')
  mkdirSync(inner, { recursive: true })
  const program = `
    const { rmdirSync, chmodSync } = require('node:fs')
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    process.chdir(${JSON.stringify(inner)})
    chmodSync('..', 0)
    if (process.getuid() === 0) process.setuid(65534)
    const engine = new ExecutionEngine({ logOutput: false })
    const run = () => engine.run({ command: { type: 'exec', program: '/bin/ls', args: ['-d', '.'] } })
    run().then(({ stdout, error }) => console.log(stdout, error))`
  chmodSync(dir, 0o755)
  expect(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' })).toBe('.\n null\n')
  chmodSync(join(dir, 'closed'), 0o700)

  const gone = temporary()
  const { ended } = host(`{
    process.chdir(${JSON.stringify(gone)})
    require('node:fs').rmdirSync(${JSON.stringify(gone)})
    const removed = engine.run({ command: { type: 'exec', program: '/bin/ls', args: ['-A', '/proc/self/cwd/'] } })
    process.chdir('/')
    removed.then(({ stdout, error }) => console.log([stdout], error))
  }`)
  expect(await ended).toMatchObject({ printed: "[ '' ] null\n", complained: '' })
})

test('a directory that the host has left is not held on to once its commands have ended', async () => {
  const dir = temporary()
  const { ended } = host(`{
    const { readdirSync, readlinkSync } = require('node:fs')
    process.chdir(${JSON.stringify(dir)})
    engine.run({ command: { type: 'exec', program: 'true' } }).then(() => {
      process.chdir('/')
      const held = readdirSync('/proc/self/fd').filter((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd) === ${JSON.stringify(dir)} } catch { return false }
      })
      console.log(held.length)
    })
  }`)
  expect(await ended).toMatchObject({ printed: '0\n', complained: '' })
})
