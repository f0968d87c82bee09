// Where a command runs: its variables, its directory, and what it is other than the host. `npm test` runs this file as
// root and as another user.

import { mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import type { ExecutionRequest } from '../../index.js'
import { exec, hostWith, newEngine, newMark, shell, survivors, temporary, until } from './support.js'

const isRoot = process.getuid?.() === 0

const before = { ...process.env }
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
})

/** The variables that a command gets. */
async function variablesOf(request: Partial<ExecutionRequest>): Promise<Record<string, string>> {
  const print = exec(process.execPath, '-e', 'console.log(JSON.stringify(process.env))')
  const { stdout, error } = await newEngine().run({ ...print, ...request })
  expect(error).toBeNull()
  return JSON.parse(stdout)
}

// Variables

test.each([undefined, null])('a variable whose value is %s is not inherited', async (nothing) => {
  process.env['ESCHER_TEST_GONE'] = 'here'
  process.env['ESCHER_TEST_KEPT'] = 'here'
  const env = { ESCHER_TEST_GONE: nothing, ESCHER_TEST_NEVER: nothing, ESCHER_TEST_NEW: 'new' }
  const found = await variablesOf({ env })
  expect(found).toMatchObject({ ESCHER_TEST_KEPT: 'here', ESCHER_TEST_NEW: 'new' })
  expect(Object.keys(found)).not.toContain('ESCHER_TEST_GONE')
  expect(Object.keys(found)).not.toContain('ESCHER_TEST_NEVER')
})

test('a list of names inherits these, and all that fit one with a star', async () => {
  Object.assign(process.env, { ESCHER_TEST_A: 'a', ESCHER_TEST_B: 'b', ESCHER_TESTS: 's', ESCHER_OTHER: 'o' })
  const names = async (inheritEnv: string[], env = {}) => {
    const found = Object.keys(await variablesOf({ inheritEnv, env }))
    // What the engine itself gives to each command.
    return found.filter((name) => !/^ESCHER_(TAG_|EXECUTION_ID)/.test(name)).sort()
  }
  expect(await names(['ESCHER_TEST_*', 'ESCHER_OTHER', 'NOT_SET'])).toEqual([
    'ESCHER_OTHER',
    'ESCHER_TEST_A',
    'ESCHER_TEST_B',
  ])
  expect(await names(['ESCHER_TEST_*'], { ESCHER_TEST_A: undefined, OWN: '1' })).toEqual(['ESCHER_TEST_B', 'OWN'])
  expect(await names(['*_TEST_B'])).toEqual(['ESCHER_TEST_B'])
  expect(await names([])).toEqual([])
  const all = await variablesOf({ inheritEnv: ['*'] })
  expect(all).toMatchObject({ PATH: process.env['PATH'], ESCHER_OTHER: 'o' })
})

test.each([
  [{ inheritEnv: 'logins' }, 'inheritEnv', 'a boolean, an array of names or "login"'],
  [{ inheritEnv: [1] }, 'inheritEnv[0]', 'a string'],
  [{ inheritEnv: ['A', 'A*=B'] }, 'inheritEnv[1]', 'the name of a variable, or a pattern for some'],
  [{ inheritEnv: ['A=B'] }, 'inheritEnv[0]', 'the name of a variable'],
  [{ inheritEnv: [''] }, 'inheritEnv[0]', 'the name of a variable'],
  [{ env: { A: 1 } }, 'env.A', 'a string'],
  [{ umask: 0o1000 }, 'umask', 'an integer from 0 to 511'],
  [{ umask: -1 }, 'umask', 'an integer from 0 to 511'],
  [{ nice: 20 }, 'nice', 'an integer from -20 to 19'],
  [{ nice: 1.5 }, 'nice', 'an integer from -20 to 19'],
  [{ user: '' }, 'user', 'the name or the number of a user'],
  [{ user: -1 }, 'user', 'an integer from 0 to 4294967294'],
  [{ user: true }, 'user', 'the name or the number of a user'],
  [{ user: 'no-such-user' }, 'user', 'a user that the system knows, found "no-such-user"'],
  [{ user: 4_000_000_000 }, 'user', 'a user that the system knows, found 4000000000'],
  [{ workingDir: new URL('https://example.com/') }, 'workingDir', 'a path, or the URL of a file'],
] as const)('%o is refused, before anything is started', async (wrong, field, expected) => {
  const engine = newEngine()
  const request = { ...exec('true'), ...wrong } as unknown as ExecutionRequest
  const message = expect.stringContaining(expected)
  await expect(engine.run(request)).rejects.toMatchObject({ code: 'VALIDATION', field, message })
  const plan = { strategy: { type: 'serial' as const }, commands: [exec('true'), request] }
  await expect(engine.runPlan(plan)).rejects.toMatchObject({ code: 'VALIDATION', field: `commands[1].${field}` })
  expect(engine.totalCount).toBe(0)
})

// The login shell: it is read once in the life of a host, so each test has a host of its own.

/** A login shell that runs this, with what it is to run in `$line`. */
function loginShell(script: string): string {
  const file = join(temporary(), 'shell')
  writeFileSync(file, `#!/bin/sh\n[ "$1" = -ilc ] || exit 9\nline=$2\n${script}\n`, { mode: 0o755 })
  return file
}

const ask = `
  const path = { command: { type: 'exec', program: '/bin/sh', args: ['-c', 'echo "$PATH"'] }, inheritEnv: 'login' }
  process.on('warning', ({ code, message }) => console.log('warned', code, message))`

test('the PATH of the login shell takes the place of that of the host, and nothing else of it', async () => {
  const dir = temporary()
  const SHELL = loginShell(`echo welcome; echo read >> '${dir}/reads'
    export PATH="/of/the/profile:$PATH" ESCHER_TEST_LOGIN=profile; eval "$line"; echo bye`)
  const { printed, complained } = await hostWith(
    { ...process.env, SHELL },
    `${ask}
    ;(async () => {
      const results = await Promise.all(Array.from({ length: 4 }, () => engine.run(path)))
      for (const { stdout } of results) console.log(stdout.trim())
      const own = await engine.run({ ...path, env: { PATH: '/own' } })
      const other = await engine.run({ ...path, inheritEnv: true })
      console.log(own.stdout.trim(), other.stdout.trim() === process.env.PATH)
      const env = { ...path, command: { ...path.command, args: ['-c', 'echo "[$ESCHER_TEST_LOGIN]"'] } }
      const plan = await engine.runPlan({ strategy: { type: 'serial' }, commands: [path, env] })
      console.log(plan.results[0].stdout.trim(), plan.results[1].stdout.trim())
    })()`,
  ).ended
  const login = `/of/the/profile:${process.env['PATH']}`
  expect(complained).toBe('')
  expect(printed.trim().split('\n')).toEqual([login, login, login, login, '/own true', `${login} []`])
  expect(await newEngine().run(exec('cat', `${dir}/reads`))).toMatchObject({ stdout: 'read\n' })
})

test('a program is found on the PATH of the login shell', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'only-there'), '#!/bin/sh\necho found\n', { mode: 0o755 })
  const SHELL = loginShell(`export PATH="${dir}:$PATH"; eval "$line"`)
  const { printed } = await hostWith(
    { ...process.env, SHELL },
    `const request = { command: { type: 'exec', program: 'only-there' } }
    ;(async () => {
      for (const inheritEnv of [true, 'login']) console.log((await engine.run({ ...request, inheritEnv })).stdout.trim())
    })()`,
  ).ended
  expect(printed).toBe('\nfound\n')
})

test.each([
  ['ends without an answer', 'exit 3', 'exited with code 3'],
  ['tells no PATH', 'unset PATH; eval "$line"', 'it did not tell its PATH'],
  ['cannot be started', undefined, 'no such file or directory'],
])('where the login shell %s, the PATH is that of the host, with one warning', async (_, script, why) => {
  const SHELL = script === undefined ? '/no/such/shell' : loginShell(script)
  const { printed } = await hostWith(
    { ...process.env, SHELL },
    `${ask}
    ;(async () => {
      const results = [await engine.run(path), await engine.run(path)]
      setTimeout(() => console.log(results.every(({ stdout }) => stdout.trim() === process.env.PATH)), 50)
    })()`,
  ).ended
  const [warning, answer, ...rest] = printed.trim().split('\n')
  expect(warning).toContain('warned ESCHER_NO_LOGIN_PATH commands have the PATH of this process')
  expect(warning).toContain(why)
  expect([answer, ...rest]).toEqual(['true'])
})

test('a login shell that does not end is given five seconds, holds up only who asked for it, and leaves nothing', async () => {
  const [left, held] = [newMark(), newMark()]
  const SHELL = loginShell(`trap '' TERM; setsid sleep ${left} & sleep ${held} & while :; do wait; sleep 0.1; done`)
  const { printed } = await hostWith(
    { ...process.env, SHELL },
    `${ask}
    ;(async () => {
      const begun = Date.now()
      const cancelled = '0b4f4b5e-6d5c-4c4e-9d6a-0c1d2e3f4a5b'
      const accepted = engine.execute({ ...path, id: cancelled })
      const asked = [engine.run(path), engine.run(path), engine.run(path)]
      await Promise.all(Array.from({ length: 8 }, () => engine.run({ ...path, inheritEnv: true })))
      await engine.cancel(cancelled)
      await accepted
      console.log('others', Date.now() - begun < 3000, (await engine.getResult(cancelled)).status)
      const results = await Promise.all(asked)
      console.log(Date.now() - begun >= 4500, Date.now() - begun < 8000)
      console.log(results.every(({ stdout }) => stdout.trim() === process.env.PATH))
    })()`,
  ).ended
  expect(printed).toContain('others true cancelled\n')
  expect(printed).toContain('true true\ntrue\n')
  await until(() => survivors(left).length + survivors(held).length === 0, 'what the profile started to be ended', 2000)
}, 30_000)

test('the deadline and the lease of a plan hold while the login shell is read', async () => {
  const SHELL = loginShell(`sleep 60`)
  const { printed } = await hostWith(
    { ...process.env, SHELL },
    `${ask}
    const script = { command: { type: 'script', path: '/bin/true', interpreter: 'only-known-there' }, inheritEnv: 'login' }
    ;(async () => {
      const commands = [path, script]
      const plans = [{ timeoutMs: 200 }, { leaseMs: 200 }].map((more) =>
        engine.runPlan({ strategy: { type: 'parallel' }, commands, ...more }))
      for (const plan of await Promise.all(plans)) {
        console.log(plan.status, plan.totalDurationMs >= 195, plan.totalDurationMs < 2500)
        for (const { status, pid, error } of plan.results) console.log(status, pid, error)
      }
    })()`,
  ).ended
  const timedOut = 'cancelled null its plan timed out after 200 ms, before it was started'
  const lost = 'cancelled null the lease of its plan was not renewed in time, before it was started'
  const lines = ['timeout true true', timedOut, timedOut, 'failed true true', lost, lost]
  expect(printed.trim().split('\n')).toEqual(lines)
})

test('a step that is made for the login shell waits for it without a slot', async () => {
  const SHELL = loginShell(`sleep 60`)
  const { printed } = await hostWith(
    { ...process.env, SHELL },
    `${ask}
    const one = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1 })
    ;(async () => {
      const begun = Date.now()
      let isMade
      const made = new Promise((resolve) => (isMade = resolve))
      const plan = one.runPlan({ steps: { it: { request: () => (setTimeout(isMade, 100), path) } } })
      await made
      const other = await one.run({ command: { type: 'exec', program: 'true' } })
      console.log(other.status, Date.now() - begun < 3000)
      console.log((await plan).results[0].stdout.trim() === process.env.PATH)
    })()`,
  ).ended
  expect(printed).toContain('completed true\n')
  expect(printed.trim().split('\n').at(-1)).toBe('true')
}, 20_000)

test('a host that is killed while the login shell is read leaves nothing of it', async () => {
  const mark = newMark()
  const SHELL = loginShell(`sleep ${mark} & sleep ${mark}`)
  const running = hostWith({ ...process.env, SHELL }, `${ask}\nengine.run(path)`)
  await until(() => survivors(mark).length === 2, 'the login shell to run')
  running.child.kill('SIGKILL')
  await until(() => survivors(mark).length === 0, 'the login shell to be ended')
})

// The directory and paths

test('directory, program, script and shell may be URLs of files', async () => {
  const dir = realpathSync(temporary())
  const within = join(dir, 'with space and %41')
  mkdirSync(within)
  writeFileSync(join(within, 'script.sh'), '#!/bin/sh\necho script $1\n', { mode: 0o755 })
  const engine = newEngine()
  const workingDir = pathToFileURL(within)
  const script = pathToFileURL(join(within, 'script.sh'))
  const commands = [
    { command: { type: 'exec', program: 'pwd' }, workingDir },
    { command: { type: 'exec', program: script, args: ['program'] } },
    { command: { type: 'script', path: script, args: ['path'] } },
    { command: { type: 'shell', command: 'echo $0', shell: pathToFileURL('/bin/sh') } },
  ] as const
  const { results } = await engine.runPlan({ strategy: { type: 'serial' }, commands })
  expect(results.map(({ stdout }) => stdout.trim())).toEqual([within, 'script program', 'script path', '/bin/sh'])
  expect(results[1]?.command).toContain('with space and %41')
})

// What it is other than the host

test('files of the command are made under the umask that was asked for, and the host keeps its own', async () => {
  const dir = temporary()
  const own = process.umask()
  for (const [umask, mode] of [
    [0o077, '600'],
    [0, '666'],
    [0o777, '0'],
  ] as const) {
    const file = join(dir, mode)
    const result = await newEngine().run({ ...shell(`umask; : > '${file}'; stat -c %a '${file}'`), umask })
    expect(result.stdout.trim().split('\n')).toEqual([umask.toString(8).padStart(4, '0'), mode])
  }
  expect(process.umask()).toBe(own)
  expect((await newEngine().run(shell('umask'))).stdout.trim()).toBe(own.toString(8).padStart(4, '0'))
})

test('a command gives way to others as it was asked to, and the host does not', async () => {
  const own = Number((await newEngine().run(exec('nice'))).stdout)
  expect((await newEngine().run({ ...exec('nice'), nice: 7 })).stdout).toBe('7\n')
  expect(Number((await newEngine().run(exec('nice'))).stdout)).toBe(own)
})

test('what gives way to all others and leaves a process running is seen to leave it', async () => {
  const mark = newMark()
  const result = await newEngine().run({ ...shell(`sleep ${mark} >/dev/null 2>&1 & echo`), nice: 19 })
  expect(result).toMatchObject({ status: 'completed', leftoverProcesses: true })
  expect(survivors(mark)).toEqual([])
})

/** What becomes of a command that the system refuses to start. */
const refusedWith = (error: RegExp) => ({
  status: 'failed',
  errorCode: 'SPAWN_FAILED',
  pid: null,
  error: expect.stringMatching(error),
})

test('to give way less than the host is for the privileged', async () => {
  const result = await newEngine().run({ ...exec('nice'), nice: -5 })
  const refused = refusedWith(/^program not started: ".*nice": nice -5: Permission denied/)
  expect(result).toMatchObject(isRoot ? { status: 'completed', stdout: '-5\n' } : refused)
})

/** Somebody else where the host may become that, else who the host is: there nothing is to be changed. */
const someone = isRoot ? { name: 'nobody', uid: 65_534 } : { name: userInfo().username, uid: userInfo().uid }

const whoAmI = shell('id -u; id -g; id -G; echo "$HOME $USER $LOGNAME"; exec > /dev/stdout; echo open')

test.each([someone.name, someone.uid])('a command runs as user %s, with the groups of that user', async (user) => {
  const result = await newEngine().run({ ...whoAmI, user, workingDir: '/' })
  const { stdout: known } = await newEngine().run(exec('getent', 'passwd', someone.name))
  const [, , uid, gid, , home] = known.split(':')
  const { stdout: groups } = await newEngine().run(isRoot ? exec('id', '-G', someone.name) : exec('id', '-G'))
  const stdout = `${uid}\n${gid}\n${groups}${home} ${someone.name} ${someone.name}\nopen\n`
  expect(result).toMatchObject({ status: 'completed', error: null, stdout })
  // The host is who it was.
  const { uid: own } = userInfo()
  expect([process.getuid?.(), process.geteuid?.()]).toEqual([own, own])
  expect((await newEngine().run(exec('id', '-u'))).stdout).toBe(`${own}\n`)
})

test('to become another user is for the privileged', async () => {
  const result = await newEngine().run({ ...exec('id', '-u'), user: 'root', workingDir: '/' })
  const refused = refusedWith(/user "root": Operation not permitted/)
  expect(result).toMatchObject(isRoot ? { status: 'completed', stdout: '0\n' } : refused)
})

test('variables of the request come before those of the user', async () => {
  const { username } = userInfo()
  const request = shell('echo "$HOME $USER ${LOGNAME-none}"')
  const env = { HOME: '/tmp', LOGNAME: undefined }
  const result = await newEngine().run({ ...request, user: username, env, inheritEnv: false })
  expect(result).toMatchObject({ status: 'completed', stdout: `/tmp ${username} none\n` })
})

test('what another user may not execute or enter fails the command, and is named', async () => {
  const dir = temporary()
  const program = join(dir, 'program')
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o700 })
  const results = await Promise.all([
    newEngine().run({ ...exec(program), user: someone.name }),
    newEngine().run({ ...exec('true'), user: someone.name, workingDir: dir }),
  ])
  // Where the host is that user, it may.
  const refused = refusedWith(/user "nobody" may not execute it, or not enter its directory/)
  const expected = isRoot ? refused : { status: 'completed' }
  expect(results).toMatchObject([expected, expected])
})

test('what runs as another user is ended with all that it started', async () => {
  const [mark, other] = [newMark(), newMark()]
  const command = `sleep ${mark} & setsid sleep ${mark} & trap '' TERM; sleep ${other} & echo ready; while :; do wait; done`
  const engine = newEngine({ terminationGraceMs: 200 })
  let ready = () => {}
  const told = new Promise<void>((resolve) => (ready = resolve))
  const id = await engine.execute(
    { ...shell(command), user: someone.name, workingDir: '/' },
    { onStdout: () => ready() },
  )
  await told
  await engine.cancel(id)
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', forced: true, survivors: [] })
  expect([...survivors(mark), ...survivors(other)]).toEqual([])
})

test('a host that is killed leaves nothing that runs as another user', async () => {
  const mark = newMark()
  const request = { ...shell(`sleep ${mark} & sleep ${mark}`), user: someone.name, workingDir: '/' }
  const running = hostWith(process.env, `engine.run(${JSON.stringify(request)})`)
  await until(() => survivors(mark).length >= 2, 'the command to run')
  running.child.kill('SIGKILL')
  await until(() => survivors(mark).length === 0, 'the command to be ended')
})

test('no start copies the memory of the host, whatever the command is to be', async () => {
  const trace = join(temporary(), 'trace')
  const source = `
    const command = { type: 'exec', program: 'true' }
    const plain = [{}, { umask: 0o22 }, { nice: 5 }, { env: { HOME: undefined } }, { inheritEnv: ['PATH'] }, { inheritEnv: 'login' }]
    const more = ${isRoot} ? [{ user: 'nobody' }, { user: 'nobody', umask: 0o77, nice: -1 }] : []
    const { ExecutionEngine } = require(${JSON.stringify(join(import.meta.dirname, '../../index.js'))})
    const engine = new ExecutionEngine({ logOutput: false })
    ;(async () => {
      for (const one of [...plain, ...more]) {
        const { status, error } = await engine.run({ command, workingDir: '/', ...one })
        console.log(status, error)
      }
    })()`
  const options = ['-f', '-qq', '-o', trace, '-e', 'trace=clone,clone3,fork,vfork']
  const result = await newEngine().run({
    ...exec('strace', ...options, process.execPath, '-e', source),
    env: { SHELL: '/bin/sh' },
  })
  expect(result).toMatchObject({ status: 'completed' })
  const count = isRoot ? 8 : 6
  expect(result.stdout).toBe('completed null\n'.repeat(count))
  const host = (await newEngine().run(exec('head', '-c', '20', trace))).stdout.split(' ')[0]
  const { stdout } = await newEngine().run(exec('grep', '-E', 'clone|fork', trace))
  const starts = stdout
    .split('\n')
    .filter((line) => /^\d+ +v?(clone3?|fork)\(/.test(line) && !line.includes('CLONE_THREAD'))
  // Those of the host and its threads; the shells that it starts may do as they like.
  const vforks = starts.filter((line) => line.includes('CLONE_VFORK') && line.includes('CLONE_VM'))
  // That of the guardian is one more.
  expect(vforks.length).toBeGreaterThanOrEqual(count + 1)
  const threads = new Set([
    host,
    ...[...stdout.matchAll(/CLONE_THREAD.*=> \{parent_tid=\[(\d+)\]/g)].map(([, id]) => id),
  ])
  const others = starts.filter((line) => !vforks.includes(line) && threads.has(line.split(' ')[0] ?? ''))
  expect(others).toEqual([])
}, 30_000)
