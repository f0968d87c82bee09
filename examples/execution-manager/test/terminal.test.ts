// The program `play`, as it is typed.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import Database from 'libsql'
import Type from 'typebox'
import { expect, test } from 'vitest'
import { RunSummary } from '../src/api.js'
import { loadPlaybook } from '../src/playbook/load.js'
import { readTexts, readValues } from '../src/playbook/parameters.js'
import { fromEnvironment, pairs } from '../src/terminal/options.js'
import { folder, isAlive, json, Play, play, playbook, write } from './support.js'

const program = fileURLToPath(new URL('../dist/play.js', import.meta.url))

const one = (command: string, more: Record<string, unknown> = {}): string =>
  write(folder(), playbook('one', { a: command }, more))

test('run prints plain lines where there is no terminal, and ends with 0', async () => {
  const file = write(
    folder(),
    playbook(
      'greet',
      {
        a: { command: { type: 'exec', program: 'echo', args: ['Hello ${name}', { param: 'more' }] } },
        b: { command: { type: 'shell', command: 'echo "$N" >&2' }, env: { N: { param: 'n' } }, dependsOn: ['a'] },
      },
      { parameters: { name: { type: 'string' }, more: { type: 'list' }, n: { type: 'integer' } } },
    ),
  )
  const args = ['-p', 'name=A=B', '-p', 'more=x y', '--param', 'more=z', '-p', 'n=3']
  const { code, stdout, stderr } = await play(folder(), 'run', file, ...args)
  expect(stderr).toBe('')
  expect(
    stdout
      .replaceAll(/\d+ ms/g, 'N ms')
      .trim()
      .split('\n'),
  ).toEqual([
    "[a] $ echo 'Hello A=B' 'x y' z",
    '[a] Hello A=B x y z',
    '[a] completed after N ms',
    '[b] $ echo "$N" >&2',
    '[b] 3',
    '[b] completed after N ms',
    'greet: completed after N ms',
  ])
  expect(code).toBe(0)
})

test('run says of each attempt that another one follows', async () => {
  const command = 'echo x >> tries; [ $(wc -l < tries) -ge 3 ] || exit 7'
  const a = { command: { type: 'shell', command }, workingDir: folder(), retry: { attempts: 3, delayMs: 1 } }
  const { code, stdout } = await play(folder(), 'run', write(folder(), playbook('flaky', { a })))
  expect(stdout.match(/.*follows.*/g)).toEqual([
    '[a] exited with code 7; attempt 2 follows',
    '[a] exited with code 7; attempt 3 follows',
  ])
  expect(stdout).toContain('flaky: completed')
  expect(code).toBe(0)
})

test('run ends with 1 where the run has failed', async () => {
  const { code, stdout } = await play(folder(), 'run', one('exit 7'))
  expect(stdout).toContain('one: failed')
  expect(stdout).toContain('a: exited with code 7')
  expect(code).toBe(1)
})

test('run ends with 124 where the run has timed out', async () => {
  const { code, stdout } = await play(folder(), 'run', one('sleep 60', { timeoutMs: 100 }))
  expect(stdout).toContain('one: timeout')
  expect(code).toBe(124)
})

const asked = { parameters: { n: { type: 'integer' } } }

test.each([
  ['a file that is not there', () => ['run', '/nowhere/playbook.json'], /play: .*no such file/],
  ['a parameter that is missing', () => ['run', one('true', asked)], /parameters\.n: is required/],
  ['an option that there is none of', () => ['run', one('true'), '--bogus'], /unknown option '--bogus'/],
  ['a run that there is none of', () => ['logs', 'abc'], /there is no run abc/],
  ['an address without a token', () => ['serve', '--host', '0.0.0.0'], /expected a token/],
  ['a queue that is none', () => ['runs', '--queue', 'http://host'], /connection: expected redis:/],
  ['a file that is no playbook', () => ['validate', write(folder(), '{}')], /playbook\.json:1:1: name: is missing/],
])('%s is bad input: 2', async (_what, args, expected) => {
  const { code, stdout, stderr } = await play(folder(), ...args())
  expect(stderr).toMatch(expected)
  expect(stdout).toBe('')
  expect(code).toBe(2)
})

test('what is typed for parameters is read by their types, and refused by name', async () => {
  const parameters = {
    s: { type: 'string', default: 'x' },
    n: { type: 'number', default: 1 },
    i: { type: 'integer', default: 1 },
    b: { type: 'boolean', default: true },
    l: { type: 'list', default: [] },
    e: { type: 'string', enum: ['a', 'b'], default: 'a' },
    p: { type: 'string', pattern: '^x+$', default: 'x' },
  }
  const loaded = await loadPlaybook(one('true', { parameters }))
  const read = (...texts: string[]): Record<string, unknown> =>
    Object.fromEntries(readValues(loaded.playbook, readTexts(loaded.playbook, pairs(texts, '--param'))))
  expect(read('s=1', 'n=1.5', 'i=-3', 'b=false', 'l=a', 'l=b=c', 'e=b', 'p=xx')).toEqual({
    s: '1',
    n: 1.5,
    i: -3,
    b: false,
    l: ['a', 'b=c'],
    e: 'b',
    p: 'xx',
  })
  const refused = [
    ['m=1', 'parameters.m: one has no such parameter: it has s, n, i, b, l, e, p'],
    ['n=three', 'parameters.n: expected a number'],
    ['n=', 'parameters.n: expected a number, found ""'],
    ['i=1.5', 'parameters.i: expected a whole number, found 1.5'],
    ['b=yes', 'parameters.b: expected true or false, found "yes"'],
    ['e=c', 'parameters.e: expected one of "a", "b", found "c"'],
    ['p=y', 'parameters.p: expected what matches ^x+$, found "y"'],
    ['s', '--param: expected NAME=VALUE, found "s"'],
  ] as const
  for (const [text, message] of refused) expect(() => read(text)).toThrow(message)
  expect(() => read('s=1', 's=2')).toThrow('parameters.s: was given more than once')
  expect(() => fromEnvironment(['s=NOBODY_HAS_THIS'])).toThrow('there is no variable NOBODY_HAS_THIS')
})

test('validate says what it has read', async () => {
  const { code, stdout } = await play(folder(), 'validate', one('true'))
  expect(stdout).toMatch(/playbook\.json|one\.json: one, 1 steps\n$/)
  expect(code).toBe(0)
})

test('Ctrl-C ends everything, and play with 130', async () => {
  const data = folder()
  const running = new Play(data, ['run', one('trap "" INT; (setsid sleep 300 & echo pid $!); echo pid $$; sleep 300')])
  await running.says(/pid \d+[^]*pid \d+/)
  const pids = [...running.stdout.matchAll(/pid (\d+)\n/g)].map(([, pid]) => Number(pid))
  expect(pids.map(isAlive)).toEqual([true, true])
  running.child.kill('SIGINT')
  expect(await running.exit).toBe(130)
  expect(pids.filter(isAlive)).toEqual([])
  expect(running.stdout).toContain('one: cancelled')
  expect((await play(data, 'runs')).stdout).toMatch(/one +cancelled .* a: interrupted by a signal/)
})

test('a second Ctrl-C does not wait for what does not want to end', async () => {
  const stubborn = {
    command: { type: 'shell', command: 'trap "" TERM; echo ready; while :; do sleep 1; done' },
    // Longer than the test may take.
    terminationGraceMs: 600_000,
  }
  const running = new Play(folder(), ['run', write(folder(), playbook('stubborn', { a: stubborn }))])
  await running.says(/\] ready/)
  running.child.kill('SIGINT')
  const again = setInterval(() => running.child.kill('SIGINT'), 300)
  expect(await running.exit).toBe(130)
  clearInterval(again)
})

test('SIGTERM ends everything as well, and play with 143', async () => {
  const running = new Play(folder(), ['run', one('echo ready; sleep 300')])
  await running.says(/\] ready/)
  running.child.kill('SIGTERM')
  expect(await running.exit).toBe(143)
})

test('a reader that goes away ends the run', async () => {
  const running = new Play(folder(), ['run', one('echo $$; while :; do echo more; sleep 0.02; done')])
  const [, pid] = await running.says(/\] (\d+)\n/)
  running.child.stdout?.destroy()
  expect(await running.exit).toBe(143)
  expect(isAlive(Number(pid))).toBe(false)
})

test('a terminal shows one row for each step, and the last lines of what failed', () => {
  const file = write(folder(), playbook('rows', { good: 'echo fine', bad: 'echo why >&2; exit 4' }))
  const command = `stty rows 30 cols 100; '${process.execPath}' '${program}' run '${file}'; echo "code $?"`
  const env = { ...process.env, EXECUTION_MANAGER_DATA: folder() }
  const shown = execFileSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', env })
  expect(shown).toMatch(/✔.* good .*fine/)
  expect(shown).toMatch(/✖.* bad .*exited with code 4/)
  expect(shown).toMatch(/bad: failed after \d+ ms: exited with code 4[^]*\n {2}why\r\n/)
  expect(shown).toContain('code 1')
  // The rows were written again, in place.
  expect(shown).toContain('\u001b[')
  expect(shown).not.toContain('[bad]')
})

test('what a command prints cannot move the cursor of the rows', () => {
  const file = write(folder(), playbook('rows', { a: String.raw`printf '\033[2J\n\rgone\n'; exit 1` }))
  const command = `stty rows 30 cols 100; '${process.execPath}' '${program}' run '${file}'`
  const env = { ...process.env, EXECUTION_MANAGER_DATA: folder() }
  const shown = execFileSync('sh', ['-c', `script -qec "$0" /dev/null || true`, command], { encoding: 'utf8', env })
  expect(shown).toContain('gone')
  expect(shown).not.toContain('\u001b[2J')
})

test('logs shows what a run has printed, each stream where it was printed to', async () => {
  const data = folder()
  await play(data, 'run', write(folder(), playbook('two', { a: 'echo out; echo err >&2', b: 'echo other' })))
  const [, id = ''] = /\n(\S{8}) /.exec((await play(data, 'runs')).stdout) ?? []
  expect(await play(data, 'logs', id)).toEqual({ code: 0, stdout: '[a] out\n[b] other\n', stderr: '[a] err\n' })
  expect(await play(data, 'logs', id, 'b')).toEqual({ code: 0, stdout: 'other\n', stderr: '' })
  expect(await play(data, 'logs', id, 'c')).toMatchObject({
    code: 2,
    stderr: 'play: the run has no step c: it has a, b\n',
  })
})

test('logs -f follows the run of another program to its end, and misses nothing', async () => {
  const data = folder()
  const go = `${folder()}/go`
  const wait = `until [ -e '${go}' ]; do sleep 0.02; done`
  const steps = {
    a: `echo first; ${wait}; seq 3000; echo last`,
    b: { command: { type: 'shell', command: 'echo behind' }, dependsOn: ['a'] },
    // Neither has a log when it is followed, and one of them never has.
    late: `${wait}; echo late`,
    silent: wait,
  }
  const running = new Play(data, ['run', write(folder(), playbook('several', steps))])
  await running.says(/\] first/)
  const [{ id } = { id: '' }] = json(Type.Array(RunSummary), (await play(data, 'runs', '--json')).stdout)
  const following = new Play(data, ['logs', '-f', id])
  await following.says(/\[a\] first/)
  execFileSync('touch', [go])
  expect(await running.exit).toBe(0)
  expect(await following.exit).toBe(0)
  const numbers = Array.from({ length: 3000 }, (_, i) => String(i + 1))
  const lines = following.stdout.trim().split('\n')
  expect(lines.filter((line) => line.startsWith('[late]'))).toEqual(['[late] late'])
  expect(lines.filter((line) => !line.startsWith('[late]'))).toEqual(
    ['first', ...numbers, 'last'].map((line) => `[a] ${line}`).concat('[b] behind'),
  )
})

test('a secret comes from a variable, and is nowhere to be seen', async () => {
  const data = folder()
  const steps = { a: { command: { type: 'shell', command: 'echo "<$TOKEN>"' }, env: { TOKEN: { param: 'token' } } } }
  const parameters = { token: { type: 'string', secret: true, required: false } }
  const file = write(folder(), playbook('secret', steps, { parameters }))
  const env = { MY_TOKEN: 'hunter2-geheim', TOKEN: 'of-the-machine' }
  const given = new Play(data, ['run', file, '--param-env', 'token=MY_TOKEN'], env)
  expect(await given.exit).toBe(0)
  expect(given.stdout).toContain('[a] <***>\n')
  // One that is not given is that of the machine on which the step runs.
  const inherited = new Play(data, ['run', file], env)
  expect(await inherited.exit).toBe(0)
  expect(inherited.stdout).toContain('[a] <***>\n')
  expect(readFileSync(`${data}/history.db`, 'latin1')).not.toMatch(/geheim|of-the-machine/)
})

test('a history of another version is refused, and says so', async () => {
  const data = folder()
  const file = write(folder(), playbook('one', { a: { command: { type: 'shell', command: 'echo a' } } }))
  expect(await new Play(data, ['run', file]).exit).toBe(0)
  const database = new Database(`${data}/history.db`)
  database.exec('PRAGMA user_version = 1')
  database.close()
  const play = new Play(data, ['runs'])
  expect(await play.exit).toBe(2)
  expect(play.stderr).toMatch(/history\.db: expected a history of version 2, found version 1: move it away/)
})
