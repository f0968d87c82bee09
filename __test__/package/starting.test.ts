// Contract, section 2, 16 to 19, and how the engine gets on with others.

import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { exec, host, newEngine, packagePath, shell, temporary, wakeUps } from './support.js'

const run = promisify(execFile)

test('at the limit execute rejects, and the queue keeps the order of arrival', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 2 })
  const order: string[] = []
  const runs = ['a', 'b', 'c'].map((name) =>
    engine.run(shell(`sleep 0.05; echo ${name}`), { onStdout: (line) => void order.push(line) }),
  )
  await expect(engine.run(exec('true'))).rejects.toMatchObject({ code: 'CONCURRENCY_LIMIT_REACHED' })
  expect([engine.runningCount, engine.queuedCount, engine.availablePermits]).toEqual([1, 2, 0])
  await Promise.all(runs)
  expect(order).toEqual(['a', 'b', 'c'])
  expect([engine.runningCount, engine.queuedCount, engine.availablePermits]).toEqual([0, 0, 1])
})

/** What a program of Node prints that may have so few descriptors. */
async function printedWithFewDescriptors(program: string, limit = 200, env = {}): Promise<string> {
  const child = spawn('sh', ['-c', `ulimit -n ${limit}; exec "$0" -e "$1"`, process.execPath, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  let printed = ''
  child.stdout.on('data', (text) => (printed += text))
  await once(child, 'close')
  return printed
}

test('300 commands at once with 200 descriptors all succeed', async () => {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ maxConcurrentExecutions: 1000, logDir: ${JSON.stringify(temporary())} + '/logs' })
    const run = () => engine.run({ command: { type: 'exec', program: 'echo', args: ['x'] } })
    Promise.all(Array.from({ length: 300 }, run)).then((all) =>
      console.log(all.filter((r) => r.success && r.stdout === 'x\\n' && r.error === null).length))`
  expect(await printedWithFewDescriptors(program)).toBe('300\n')
})

test('40 commands at once with descriptors for hardly one all succeed', async () => {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
    const { readdirSync } = require('node:fs')
    const run = () => engine.run({ command: { type: 'exec', program: 'echo', args: ['x'] } })
    const many = async () => {
      const results = await Promise.all(Array.from({ length: 40 }, run))
      return results.filter((r) => r.success && r.stdout === 'x\\n').length
    }
    const all = async () => console.log(await many(), await many(), await many())
    all()`
  expect(await printedWithFewDescriptors(program, 30)).toBe('40 40 40\n')
}, 60_000)

test('starts for which nothing is given back are all given up after five seconds, not one after the other', async () => {
  const program = `
    const { openSync } = require('node:fs')
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
    const run = () => engine.run({ command: { type: 'exec', program: 'true' } })
    run().then(async () => {
      try { for (;;) openSync('/dev/null') } catch {}
      const begun = performance.now()
      const results = await Promise.all(Array.from({ length: 10 }, run))
      const seconds = (performance.now() - begun) / 1000
      const failed = results.filter((r) => r.errorCode === 'SPAWN_FAILED' && /Too many open files/.test(r.error))
      process.stdout.write(failed.length + (seconds > 4.9 && seconds < 8 ? ' in time' : ' after ' + seconds))
      process.exit()
    })`
  expect(await printedWithFewDescriptors(program)).toBe('10 in time')
})

test('a step that waits for descriptors is ended by the deadline of its plan', async () => {
  const program = `
    const { openSync } = require('node:fs')
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false })
    const command = { type: 'exec', program: 'true' }
    engine.run({ command }).then(async () => {
      try { for (;;) openSync('/dev/null') } catch {}
      const begun = performance.now()
      const plan = { strategy: { type: 'parallel' }, commands: [{ command }, { command }, { command }], timeoutMs: 500 }
      const { status } = await engine.runPlan(plan)
      const ms = performance.now() - begun
      process.stdout.write(status + (ms < 3000 ? ' in time' : ' after ' + ms))
      process.exit()
    })`
  expect(await printedWithFewDescriptors(program)).toBe('timeout in time')
})

/** A host in which an engine is made and used while no descriptor is left. */
const exhausted = (then: string) => `
  const { closeSync, openSync } = require('node:fs')
  const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
  const open = []
  try { for (;;) open.push(openSync('/dev/null')) } catch {}
  const engine = new ExecutionEngine({ logOutput: false })
  const command = { type: 'exec', program: 'echo', args: ['x'] }
  const begun = performance.now()
  const run = engine.run({ command })
  const others = Promise.allSettled([
    engine.runPlan({ strategy: { type: 'serial' }, commands: [{ command }] }),
    engine.getResult('7f1de0b4-3c55-4c5c-8f6c-0d5f4a4b7c11'),
    engine.waitForCompletion('7f1de0b4-3c55-4c5c-8f6c-0d5f4a4b7c11'),
  ])
  let ticks = 0
  setInterval(() => (ticks += 1), 10)
  ;(async () => {
    ${then}
    process.exit()
  })()`

test('where the first start of a host finds no descriptor, it waits for some, and JavaScript goes on', async () => {
  const program = exhausted(`
    const first = await Promise.race([run.catch((error) => error), new Promise((resolve) => setTimeout(resolve, 700, 'waits'))])
    const ticked = ticks
    for (const fd of open) closeSync(fd)
    const { stdout, status } = await run
    const [plan, result, wait] = await others
    console.log(first, ticked >= 30, status, stdout.trim(), plan.value.status, result.reason.code, wait.reason.code)`)
  expect(await printedWithFewDescriptors(program)).toBe('waits true completed x completed NOT_FOUND NOT_FOUND\n')
})

test('where it finds none for five seconds, it is refused with the reason', async () => {
  const program = exhausted(`
    const { code, message } = await run.catch((error) => error)
    const seconds = (performance.now() - begun) / 1000
    const rest = (await others).map(({ reason }) => reason.code)
    process.stdout.write([code, message, ...rest, seconds > 4.9 && seconds < 8 ? 'in time' : 'after ' + seconds].join('; '))`)
  const expected =
    /^INTERNAL; .*the threads of the engine cannot be started: Too many open files.*; INTERNAL; NOT_FOUND; INTERNAL; in time$/
  expect(await printedWithFewDescriptors(program)).toMatch(expected)
})

test('a start that is tried again for lack of descriptors is cancelled at once', async () => {
  const program = `
    const { openSync } = require('node:fs')
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false })
    const run = (id) => engine.run({ id, command: { type: 'exec', program: 'true' } })
    const id = '7f1de0b4-3c55-4c5c-8f6c-0d5f4a4b7c11'
    const fill = () => { for (;;) openSync('/dev/null') }
    run().then(async () => {
      try { fill() } catch {}
      const result = run(id)
      // The pauses have grown by then.
      await new Promise((resolve) => setTimeout(resolve, 1500))
      const asked = performance.now()
      await engine.cancel(id)
      const taken = performance.now() - asked
      const { status } = await result
      process.stdout.write(status + (taken < 500 ? ' at once' : ' after ' + taken))
      process.exit()
    })`
  expect(await printedWithFewDescriptors(program)).toBe('cancelled at once')
})

test('the environment is the one JavaScript sees when it calls execute', async () => {
  const { ended } = host(`
    const run = async (more) => (await engine.run({ command: { type: 'shell', command: 'printf %s "$A$B"' }, ...more })).stdout
    ;(async () => {
      process.env.A = '1'
      const changed = run()
      process.env.A = '2'
      console.log(await changed, await run(), await run({ env: { B: 'b' } }), await run({ inheritEnv: false, env: { B: 'b' } }))
      process.env = { ...process.env, A: '3' }
      console.log(await run())
    })()`)
  expect(await ended).toMatchObject({ printed: '1 2 2b b\n3\n', complained: '' })
})

test('a process.env that was replaced may hold what is no text, and may be frozen', async () => {
  const { ended } = host(`
    const replaced = { PATH: process.env.PATH, NUMBER: 5, FLAG: false, NOTHING: null, NONE: undefined }
    const request = { command: { type: 'exec', program: '/usr/bin/env' } }
    process.env = Object.freeze({ ...replaced })
    const first = engine.run(request)
    process.env = replaced
    Promise.all([first, engine.run(request)]).then((results) => {
      for (const { stdout } of results) console.log(stdout.split('\\n').filter((line) => /^[NF]/.test(line)).sort().join())
    })`)
  const line = 'FLAG=false,NOTHING=null,NUMBER=5\n'
  expect(await ended).toMatchObject({ code: 0, printed: line + line, complained: '' })
})

test("a worker's commands see the variables of the worker", async () => {
  const worker = new Worker(
    `const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
     process.env.ONLY_HERE = 'in the worker'
     new ExecutionEngine({ logOutput: false }).run({ command: { type: 'shell', command: 'printf %s "$ONLY_HERE"' } })
       .then((result) => require('node:worker_threads').parentPort.postMessage(result.stdout))`,
    { eval: true },
  )
  expect(await once(worker, 'message')).toEqual(['in the worker'])
  expect((await newEngine().run(shell('printf %s "$ONLY_HERE"'))).stdout).toBe('')
  await worker.terminate()
})

test('each child gets the id of its execution', async () => {
  const result = await newEngine().run(shell('printf %s "$ESCHER_EXECUTION_ID"'))
  expect(result.stdout).toBe(result.id)
})

test('a program is found on the PATH of the child, from its directory', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'greet'), '#!/bin/sh\necho "hello from $(pwd)"\n', { mode: 0o755 })
  const engine = newEngine()
  const onPath = await engine.run({ ...exec('greet'), env: { PATH: `${dir}:/usr/bin:/bin` }, workingDir: '/' })
  expect(onPath.stdout).toBe('hello from /\n')
  const relative = await engine.run({ ...exec('./greet'), workingDir: dir })
  expect(relative.stdout).toBe(`hello from ${dir}\n`)
})

test('stdin is the null device, a text or bytes, and need not be read', async () => {
  const engine = newEngine()
  expect((await engine.run(exec('cat'))).stdout).toBe('')
  expect((await engine.run({ ...exec('cat'), stdin: 'text €' })).stdout).toBe('text €')
  expect((await engine.run({ ...exec('od', '-An', '-tx1'), stdin: new Uint8Array([0, 255]) })).stdout).toBe(' 00 ff\n')
  const large = 'x'.repeat(20_000_000)
  expect((await engine.run({ ...exec('wc', '-c'), stdin: large })).stdout.trim()).toBe('20000000')
  expect(await engine.run({ ...exec('true'), stdin: large })).toMatchObject({ status: 'completed', error: null })
})

test('a child has default signals, an empty mask and three descriptors', async () => {
  const result = await newEngine().run(shell('grep -E "^Sig(Blk|Ign)" /proc/self/status; ls /proc/self/fd | wc -l'))
  expect(result.stdout).toBe('SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n4\n')
})

/** Compiles a program or a library of C; returns its path. */
function compiled(source: string, ...options: string[]): string {
  const path = join(temporary(), 'compiled')
  execFileSync('cc', [...options, '-x', 'c', '-o', path, '-'], { input: source })
  return path
}

/** Preloaded into a program, it takes the null device away. */
const withoutNullDevice = `
  #define _GNU_SOURCE
  #include <errno.h>
  #include <fcntl.h>
  #include <string.h>
  #include <sys/syscall.h>
  #include <unistd.h>
  int open(const char *path, int flags, ...) {
    if (strcmp(path, "/dev/null") != 0) return syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
    errno = ENOENT;
    return -1;
  }`

test('a null device that is missing is named, and not taken for an interpreter of the program', async () => {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, orphanProtection: false })
    const command = { type: 'exec', program: 'cat' }
    Promise.all([engine.run({ command }), engine.run({ command, stdin: 'x' })]).then(([without, withInput]) =>
      console.log(without.errorCode, without.error.replace(/".*cat"/, 'cat'), withInput.stdout))`
  const { stdout } = await run(process.execPath, ['-e', program], {
    env: { ...process.env, LD_PRELOAD: compiled(withoutNullDevice, '-shared', '-fPIC') },
  })
  const expected = 'SPAWN_FAILED program not started: cat: "/dev/null": No such file or directory (os error 2) x\n'
  expect(stdout).toBe(expected)
})

/** Preloaded into a program, it lets one of the commands lack memory for ever. */
const withoutMemory = `
  #define _GNU_SOURCE
  #include <errno.h>
  #include <string.h>
  #include <sys/syscall.h>
  #include <unistd.h>
  int execve(const char *path, char *const argv[], char *const envp[]) {
    if (strstr(path, "/cat") == NULL) return syscall(SYS_execve, path, argv, envp);
    errno = ENOMEM;
    return -1;
  }`

test('a start that lacks something for ever does not hold up others, which lack something else', async () => {
  const program = `
    const { closeSync, openSync } = require('node:fs')
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, orphanProtection: false })
    const run = (program, ...args) => engine.run({ command: { type: 'exec', program, args } })
    engine.run({ command: { type: 'exec', program: 'sleep', args: ['60'] } }, {
      async onEvent({ eventType }) {
        if (eventType !== 'started') return
        const open = []
        try { for (;;) open.push(openSync('/dev/null')) } catch {}
        run('cat')
        const others = [run('echo', 'x'), run('echo', 'x'), run('echo', 'x')]
        setTimeout(() => open.forEach((fd) => closeSync(fd)), 500)
        const results = await Promise.all(others)
        console.log(results.map(({ stdout }) => stdout.trim()).join(''), engine.runningCount)
        await engine.shutdown()
        process.exit()
      }
    })`
  const preloaded = { LD_PRELOAD: compiled(withoutMemory, '-shared', '-fPIC') }
  expect(await printedWithFewDescriptors(program, 200, preloaded)).toBe('xxx 2\n')
})

test('a start that hangs in its directory does not hold the pipes of other commands', async () => {
  const program = `
    const { existsSync, readFileSync, readdirSync, writeFileSync } = require('node:fs')
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, orphanProtection: false })
    const go = ${JSON.stringify(join(temporary(), 'go'))}
    const isChild = (pid) => {
      try {
        return readFileSync('/proc/' + pid + '/stat', 'latin1').replace(/.*\\) . /s, '').split(' ')[0] === String(process.pid)
      } catch { return false }
    }
    const children = () => readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && isChild(name)).length
    const line = 'until [ -e ' + go + ' ]; do sleep 0.02; done; wc -c'
    const reads = engine.run({ command: { type: 'shell', command: line, shell: 'sh' }, stdin: 'x'.repeat(300_000) }, {
      onEvent({ eventType }) {
        if (eventType !== 'started') return
        engine.run({ command: { type: 'exec', program: 'true' }, workingDir: '/' }).then(() => console.log('entered'))
        const timer = setInterval(() => {
          if (children() < 2) return
          clearInterval(timer)
          writeFileSync(go, '')
        }, 5)
      }
    })
    reads.then(({ stdout }) => console.log(stdout.trim()))`
  const slow = [
    '-f',
    '--seccomp-bpf',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    'trace=chdir',
    '-e',
    'inject=chdir:delay_enter=4s',
  ]
  const { stdout } = await run('strace', [...slow, process.execPath, '-e', program])
  expect(stdout).toBe('300000\nentered\n')
})

/** 2 000 executions and 2 000 children of Node in one process, in every order; prints how many exits were seen. */
const both = `
  const { spawn } = require('node:child_process')
  const request = { command: { type: 'exec', program: 'true' } }
  let [ours, theirs] = [0, 0]
  const run = async () => { if ((await engine.run(request)).exitCode === 0) ours++ }
  const child = () => new Promise((resolve) => spawn('true').on('exit', (code) => { if (code === 0) theirs++; resolve() }))
  const many = async (count, ...steps) => {
    const work = async () => { while (count-- > 0) for (const step of steps) await step() }
    await Promise.all(Array.from({ length: 8 }, work))
  }
  ;(async () => {
    await many(400, run); await many(400, child); await many(400, run, child); await many(400, child, run)
    await Promise.all([many(800, run), many(800, child)])
    console.log(ours, theirs)
  })()`

test('the engine and child_process, together in one process, both see all their exits', async () => {
  expect(await host(both).ended).toMatchObject({ printed: '2000 2000\n' })
}, 60_000)

/** Installs a filter under which no call gives the descriptor of a process, then becomes the program. */
const withoutPidfd = `
  #include <linux/filter.h>
  #include <linux/seccomp.h>
  #include <stddef.h>
  #include <sys/prctl.h>
  #include <sys/syscall.h>
  #include <errno.h>
  #include <unistd.h>
  int main(int argc, char **argv) {
    struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
    execv(argv[1], argv + 1);
    return 98;
  }`

test('the same where a process has no descriptor, cancel and timeout included', async () => {
  const filter = compiled(withoutPidfd)
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
    process.on('exit', () => console.log('exit'))
    ${both.replace(
      'console.log(ours, theirs)',
      `
      const tree = { type: 'shell', command: 'setsid sleep 60 & sleep 60 & sleep 60', shell: 'sh' }
      const late = await engine.run({ command: tree, timeoutMs: 100 })
      console.log(ours, theirs, late.status)`,
    )}`
  const child = spawn(filter, [process.execPath, '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.on('data', (text) => (printed += text))
  await once(child, 'close')
  expect(printed).toBe('2000 2000 timeout\nexit\n')
}, 60_000)

test('nothing polls: while a command runs silently, no thread of the engine wakes up', async () => {
  const { child, said } = host(`
    engine.execute({ command: { type: 'exec', program: 'sleep', args: ['60'] } }).then(() => console.log('started'))`)
  await said('started')
  await sleep(1500)
  const before = wakeUps(child.pid)
  await sleep(2000)
  expect(before).toBeGreaterThan(0)
  expect(wakeUps(child.pid) - before).toBeLessThanOrEqual(2)
})
