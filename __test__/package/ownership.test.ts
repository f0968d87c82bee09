// Contract, section 2, 11: who is a member of an execution, and who is not, whatever its environment says.

import { spawn } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import {
  exec,
  host,
  hostWith,
  isSleep,
  newEngine,
  newMark,
  shell,
  survivors,
  temporary,
  until,
  untilThere,
} from './support.js'

/** Ends what a test has started outside of the engine. */
function endAfterTest(mark: string): void {
  onTestFinished(() => {
    for (const pid of survivors(mark)) process.kill(pid, 'SIGKILL')
  })
}

/** The variables of a command, as another daemon may hand them on. */
const parseVariables = (text: string): NodeJS.ProcessEnv =>
  Object.fromEntries(
    text
      .split('\0')
      .filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )

test.each(['exit', 'timeout', 'cancel', 'shutdown'])(
  'what another process starts with the variables of a command is left alone when that ends by %s',
  async (how) => {
    const [own, theirs] = [newMark(), newMark()]
    endAfterTest(theirs)
    const engine = newEngine({ terminationGraceMs: 300 })
    const go = join(temporary(), 'go')
    let variables: NodeJS.ProcessEnv | undefined
    const line = `env -0; echo; until [ -e ${go} ]; do sleep 0.01; done; [ ${how} = exit ] || sleep ${own}`
    const timeoutMs = how === 'timeout' ? 700 : 60_000
    const running = engine.run(shell(line, { timeoutMs }), {
      onStdout: (text) => void (variables = parseVariables(text)),
    })
    await until(() => variables !== undefined, 'the variables of the command')
    expect(Object.keys(variables ?? {}).filter((name) => name.startsWith('ESCHER_TAG_'))).toHaveLength(1)
    // As a process manager does that was there before, and whose child it stays.
    spawn('sleep', [theirs], { env: { ...variables }, detached: true, stdio: 'ignore' }).unref()
    await untilThere(theirs, 1)
    writeFileSync(go, '')
    const { id } = (await engine.listExecutions())[0]!
    if (how === 'cancel') await engine.cancel(id)
    if (how === 'shutdown') await engine.shutdown()
    expect(await running).toMatchObject({ leftoverProcesses: false, forced: false })
    await sleep(700)
    expect(survivors(theirs)).toHaveLength(1)
  },
)

test('what is started with the variables of a command that has ended is left alone, also by the death of the host', async () => {
  const mark = newMark()
  endAfterTest(mark)
  const { child, ended, said } = host(`
    let printed = ''
    engine.run({ command: { type: 'shell', command: 'env -0', shell: 'sh' } }, { onStdout: (line) => { printed += line } })
      // Longer than it takes to look for what it may have left.
      .then(() => setTimeout(() => console.log(JSON.stringify(printed)), 1200))
    engine.execute({ command: { type: 'exec', program: 'sleep', args: ['60'] } })`)
  let printed = ''
  child.stdout.on('data', (text: string) => (printed += text))
  await said('\n')
  // As a job of another daemon that has left it to process 1.
  const line = `setsid sleep ${mark} >/dev/null 2>&1 &`
  spawn('sh', ['-c', line], { env: parseVariables(JSON.parse(printed) as string) })
  await untilThere(mark, 1)
  await sleep(700)
  expect(survivors(mark)).toHaveLength(1)
  child.kill('SIGKILL')
  await ended
  await sleep(700)
  expect(survivors(mark)).toHaveLength(1)
})

test('two hosts that use the same id do not end each other’s commands', async () => {
  const mark = newMark()
  const id = randomUUID()
  const engine = newEngine()
  await engine.execute({ ...exec('sleep', mark), id })
  const { ended } =
    host(`engine.run({ id: '${id}', command: { type: 'shell', command: 'sleep 60 & exit 0', shell: 'sh' } })
    .then(({ leftoverProcesses }) => setTimeout(() => console.log(leftoverProcesses), 700))`)
  expect(await ended).toMatchObject({ printed: 'true\n' })
  expect(survivors(mark)).toHaveLength(1)
  await engine.cancel(id)
})

test('an id that is used again does not end what its earlier run was to leave running', async () => {
  const mark = newMark()
  endAfterTest(mark)
  const engine = newEngine({ terminationGraceMs: 200 })
  const id = randomUUID()
  const daemon = `setsid sleep ${mark} >/dev/null 2>&1 & sleep 0.05`
  await engine.run({ ...shell(daemon, { keepBackground: true }), id })
  await untilThere(mark, 1)
  await engine.removeExecution(id)
  await engine.run({ ...shell('sleep 60', { timeoutMs: 100 }), id })
  await engine.removeExecution(id)
  await engine.run({ ...shell('true'), id })
  await sleep(700)
  expect(survivors(mark)).toHaveLength(1)
})

test('a command that says whose it is cannot: the tags of the engine are its own', async () => {
  const engine = newEngine()
  const { stdout } = await engine.run({
    ...shell('env | grep -c ^ESCHER_'),
    env: { ESCHER_TAG_0123: '1', ESCHER_EXECUTION_ID: 'mine' },
  })
  // The tag and the id of the execution.
  expect(stdout).toBe('2\n')
})

const left: [string, string, boolean][] = [
  ['in its group', 'sleep M >/dev/null 2>&1 & exit 0', true],
  [
    'in its group at the lowest priority',
    'nice -n 19 sleep M >/dev/null 2>&1 & until [ -e /proc/$!/cwd ]; do :; done; sleep 0.05; exit 0',
    true,
  ],
  ['in another group of its session', 'set -m; sleep M >/dev/null 2>&1 & exit 0', true],
  ['with its output open', 'setsid sleep M & sleep 0.05; exit 0', true],
  ['nowhere near, having left quietly', 'setsid sleep M >/dev/null 2>&1 & sleep 0.05; exit 0', false],
]

test.each(left)('leftoverProcesses: what is left %s', async (_, line, isTold) => {
  const engine = newEngine()
  for (let i = 0; i < 10; i++) {
    const mark = newMark()
    const result = await engine.run({ command: { type: 'shell', command: line.replace('M', mark), shell: 'bash' } })
    expect(result).toMatchObject({ status: 'completed', leftoverProcesses: isTold, forced: false })
    await until(() => survivors(mark).length === 0, 'no survivor', 1500)
  }
})

test('what leaves its group just when it is ended is asked like all others', async () => {
  const engine = newEngine()
  for (let i = 0; i < 60; i++) {
    const mark = newMark()
    const daemon = `fork and exit; close STDIN; close STDOUT; close STDERR;
      select undef, undef, undef, ${i / 8000}; POSIX::setsid(); exec 'sleep', '${mark}'`
    const result = await engine.run(exec('perl', '-MPOSIX', '-e', daemon))
    expect(result).toMatchObject({ status: 'completed', forced: false })
    expect(result.durationMs).toBeLessThan(3000)
    await until(() => survivors(mark).length === 0, 'no survivor', 1500)
  }
}, 60_000)

const escapes: [string, string][] = [
  ['has left the session', 'setsid sleep M & sleep M'],
  ['has left the session and cleared its variables, with a parent that lives', 'setsid env -i sleep M & sleep M'],
  ['is another group of the session', 'set -m; sleep M & sleep M & wait'],
  ['forked twice', '(setsid sleep M &); sleep M'],
  ['is stopped', 'setsid sleep M & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!; sleep M'],
]

test.each(escapes)('a member that %s is ended by a cancel, and with the host', async (_, line) => {
  const [mine, theirs] = [newMark(), newMark()]
  const command = (mark: string) => ({ type: 'shell' as const, command: line.replaceAll('M', mark), shell: 'bash' })
  const engine = newEngine()
  const id = await engine.execute({ command: command(mine) })
  const there = (mark: string) => () => survivors(mark).filter((pid) => isSleep(pid)).length >= 2
  await until(there(mine), 'its processes')
  await engine.cancel(id)
  expect(survivors(mine)).toEqual([])
  const { child, ended } = host(`engine.execute({ command: ${JSON.stringify(command(theirs))} })`)
  await until(there(theirs), 'its processes')
  child.kill('SIGKILL')
  await ended
  await until(() => survivors(theirs).length === 0, 'no survivor', 1500)
})

test('who was found to be a member stays one, also once it has lost its parents, its group and its variables', async () => {
  const mark = newMark()
  endAfterTest(mark)
  const ready = join(temporary(), 'ready')
  const engine = newEngine({ terminationGraceMs: 300 })
  // It ignores what it is asked; the others obey, and then nothing ties it to them.
  const stubborn = `trap "" TERM; : >${ready}; while :; do sleep 0.02; : ${mark}; done`
  const id = await engine.execute(shell(`setsid env -i /bin/sh -c '${stubborn}' >/dev/null 2>&1 & sleep 60`))
  await until(() => existsSync(ready), 'a process that ignores SIGTERM')
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', forced: true, error: 'cancelled' })
})

/**
 * A root of /proc as a host under test sees it: that of the system, but for the processes of which `special` makes
 * something else; or nothing yet, and is asked again.
 */
function mirrorOfProc(special: (pid: string, dir: string) => boolean | 'later') {
  const root = join(temporary(), 'proc')
  mkdirSync(root)
  symlinkSync('/proc/loadavg', join(root, 'loadavg'))
  const known = new Set<string>()
  const mirror = () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && !known.has(name))) {
      const made = special(pid, join(root, pid))
      if (made !== 'later') known.add(pid)
      if (made === false) symlinkSync(`/proc/${pid}`, join(root, pid))
    }
  }
  /** From now on, for that host. */
  const start = (host: number) => {
    symlinkSync(String(host), join(root, 'self'))
    mirror()
    const mirroring = setInterval(mirror, 5)
    const stop = () => clearInterval(mirroring)
    onTestFinished(stop)
    return stop
  }
  return { root, start }
}

/**
 * Whether a process is a copy of a shell whose line holds that, or in the middle of executing a program, and not the shell
 * that the host has started.
 */
function isForkedFor(line: string, pid: string, host = 0): boolean {
  try {
    const parent = / \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\)/s, ''))?.[1]
    const found = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
    return Number(pid) > host && Number(parent) !== host && (found === '' || found.includes(line))
  } catch {
    return false
  }
}

/** What of a process stays as it is, besides what `files` names of its one thread. @returns the directory of the thread */
function dirOfThread(pid: string, dir: string): string {
  const task = join(dir, 'task', pid)
  mkdirSync(task, { recursive: true })
  symlinkSync(`/proc/${pid}/stat`, join(dir, 'stat'))
  symlinkSync(`/proc/${pid}/cgroup`, join(task, 'cgroup'))
  return task
}

test('processes whose files hang do not keep any execution from settling', async () => {
  const mark = newMark()
  endAfterTest(mark)
  // Orphans that nobody knows, and that are younger than the executions, or all but.
  const fifos: string[] = []
  const { root, start } = mirrorOfProc((pid, dir) => {
    if (!survivors(mark).includes(Number(pid))) return false
    const fifo = join(dirOfThread(pid, dir), 'environ')
    execFileSync('mkfifo', [fifo])
    fifos.push(fifo)
    return true
  })
  const { child, said, ended } = hostWith(
    { ...process.env, ESCHER_TEST_PROC_ROOT: root },
    `process.once('SIGUSR2', async () => {
      const times = []
      for (const command of ['sleep 60 & sleep 60', 'sleep 60 & sleep 60', 'sleep 60 & exit 0']) {
        const begun = Date.now()
        const { status } = await engine.run({ command: { type: 'shell', command, shell: 'sh' }, timeoutMs: 300 })
        times.push([status, Date.now() - begun])
      }
      console.log(JSON.stringify(times))
    })
    console.log('ready')
    setInterval(() => {}, 1000)`,
  )
  await said('ready')
  const stop = start(child.pid!)
  child.kill('SIGUSR2')
  for (let i = 0; i < 2; i++) execFileSync('sh', ['-c', `setsid sleep ${mark} >/dev/null 2>&1 &`])
  let printed = ''
  child.stdout.on('data', (text: string) => (printed += text))
  await until(() => printed.includes('\n'), 'the executions to settle', 20_000)
  stop()
  expect(fifos).toHaveLength(2)
  const times = JSON.parse(printed) as [string, number][]
  expect(times.map(([status]) => status)).toEqual(['timeout', 'timeout', 'completed'])
  // A read that hangs is waited for once, a second; then it is known.
  expect(times[0]![1]).toBeLessThan(6000)
  expect(times[1]![1]).toBeLessThan(1500)
  expect(times[2]![1]).toBeLessThan(1500)
  expect(survivors(mark)).toHaveLength(2)
  child.kill('SIGKILL')
  await ended
}, 30_000)

test('an orphan that is seen in the middle of executing its program is looked at again', async () => {
  const mark = newMark()
  endAfterTest(mark)
  const shown: (() => void)[] = []
  // As while it executes, it shows no variables at first; then all it has.
  const { root, start } = mirrorOfProc((pid, dir) => {
    // Also what is forked for it, and has not executed anything yet.
    if (!survivors(mark).includes(Number(pid))) return isForkedFor('setsid sleep', pid, child.pid) ? 'later' : false
    if (!isSleep(Number(pid))) return 'later'
    const task = dirOfThread(pid, dir)
    const [variables, real] = ['environ', 'real'].map((name) => join(task, name)) as [string, string]
    symlinkSync(`/proc/${pid}/environ`, real)
    writeFileSync(variables, '')
    shown.push(() => renameSync(real, variables))
    return true
  })
  const { child, said, ended } = hostWith(
    { ...process.env, ESCHER_TEST_PROC_ROOT: root, MARK: mark },
    `process.once('SIGUSR2', async () => {
      const command = '(setsid sleep "$MARK" >/dev/null 2>&1 &); echo there; sleep 60'
      const onStdout = () => console.log('there')
      const id = await engine.execute({ command: { type: 'shell', command, shell: 'sh' } }, { onStdout })
      process.once('SIGUSR2', async () => {
        await engine.cancel(id)
        const { forced } = await engine.getResult(id)
        console.log('cancelled', forced)
      })
    })
    console.log('ready')
    setInterval(() => {}, 1000)`,
  )
  await said('ready')
  const stop = start(child.pid!)
  child.kill('SIGUSR2')
  await said('there')
  await until(() => survivors(mark).some((pid) => existsSync(join(root, String(pid), 'task'))), 'the orphan')
  child.kill('SIGUSR2')
  // Long enough for many looks, and far less than the grace, and than what any program takes to be executed.
  await sleep(200)
  for (const show of shown) show()
  await said('cancelled false')
  stop()
  expect(shown).toHaveLength(1)
  expect(survivors(mark)).toEqual([])
  child.kill('SIGKILL')
  await ended
}, 30_000)
