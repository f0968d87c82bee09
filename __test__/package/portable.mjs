// The promises that every platform keeps, tried with what every platform has: Node's own test runner and the system's
// own shell. `scripts/test-windows.sh` and `scripts/test-arm64.sh` run it; it runs anywhere: `node __test__/package/portable.mjs`.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
} from 'node:fs'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ExecutionEngine, ExecutionError } from '../../index.js'

const isWindows = process.platform === 'win32'
const dir = mkdtempSync(join(tmpdir(), 'engine-portable-'))
const engine = new ExecutionEngine({ logDir: join(dir, 'logs') })

after(async () => {
  await engine.shutdown()
  rmSync(dir, { recursive: true, force: true })
})

/** @param {string} windows @param {string} unix @returns {{ type: 'shell', command: string, shell: string }} */
const line = (windows, unix) =>
  isWindows ? { type: 'shell', command: windows, shell: 'cmd' } : { type: 'shell', command: unix, shell: 'sh' }

/** What was printed, with the line ends of Unix. @param {string} text */
const plain = (text) => text.replaceAll('\r\n', '\n')

/** @param {() => boolean} condition @param {string} what */
async function until(condition, what, ms = 60_000) {
  const end = Date.now() + ms
  while (!condition()) {
    assert.ok(Date.now() < end, `expected ${what} within ${ms} ms`)
    await sleep(10)
  }
}

/** A program of its own that does nothing for a minute, and can be told from all others. */
class Sleeper {
  static #count = 0

  constructor() {
    Sleeper.#count += 1
    this.seconds = `6${process.pid % 1000}.${Date.now() % 1e6}${Sleeper.#count}1`
    this.path = join(dir, `sleeper-${Sleeper.#count}.exe`)
    if (isWindows) copyFileSync(join(process.env['SystemRoot'] ?? '', 'system32', 'ping.exe'), this.path)
  }

  /** The command that runs it, and one that runs it behind the back of a shell that ends. */
  get windows() {
    return `${this.path} -n 61 127.0.0.1 >nul`
  }

  get unix() {
    return `sleep ${this.seconds}`
  }

  /** Asked of the operating system: on Windows nobody can write to a program that runs. */
  runs() {
    if (process.platform === 'darwin') {
      const list = execFileSync('ps', ['-A', '-o', 'stat=,args='], { encoding: 'utf8' })
      return list.split('\n').some((line) => line.endsWith(this.unix) && !line.startsWith('Z'))
    }
    if (!isWindows) {
      return readdirSync('/proc').some((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')
          return words.includes(this.seconds) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
        } catch {
          return false
        }
      })
    }
    try {
      closeSync(openSync(this.path, 'r+'))
      return false
    } catch {
      return true
    }
  }

  async started() {
    await until(() => this.runs(), 'a program that runs')
  }
}

test('a result holds what was printed, and the exit code', async () => {
  const result = await engine.run({ command: line('echo one& echo two>&2& exit 3', 'echo one; echo two >&2; exit 3') })
  assert.deepEqual([result.status, result.exitCode, result.signal], ['failed', 3, null])
  assert.deepEqual([plain(result.stdout), plain(result.stderr)], ['one\n', 'two\n'])
  assert.equal(typeof result.pid, 'number')
})

test('a program that does not exist is a result and names it', async () => {
  const result = await engine.run({ command: { type: 'exec', program: 'no-such-program' } })
  assert.deepEqual([result.status, result.errorCode], ['failed', 'SPAWN_FAILED'])
  assert.match(result.error ?? '', /no-such-program/)
})

test('a callback has seen every line before the result is there', async () => {
  /** @type {string[]} */
  const lines = []
  const command = line(
    'for /l %i in (1,1,200) do @echo line %i',
    'i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; done',
  )
  const result = await engine.run({ command }, { onStdout: (text) => void lines.push(text.trimEnd()) })
  assert.equal(result.status, 'completed')
  assert.deepEqual(
    lines,
    Array.from({ length: 200 }, (_, i) => `line ${i + 1}`),
  )
})

test('events come in order, with one terminal event', async () => {
  const types = []
  for await (const event of engine.stream({ command: line('echo one', 'echo one') })) types.push(event.eventType)
  assert.deepEqual(types, ['started', 'stdout', 'completed'])
})

test('variables reach the command, and each has its execution id', async () => {
  process.env['ENGINE_PORTABLE'] = 'inherited'
  const id = crypto.randomUUID()
  const command = line(
    'echo %ENGINE_PORTABLE%,%OWN%,%ESCHER_EXECUTION_ID%',
    'echo $ENGINE_PORTABLE,$OWN,$ESCHER_EXECUTION_ID',
  )
  const result = await engine.run({ id, command, env: { OWN: 'own' } })
  assert.equal(plain(result.stdout), `inherited,own,${id}\n`)
})

test('a command runs in its directory', async () => {
  const inner = join(dir, 'inner directory')
  mkdirSync(inner)
  const result = await engine.run({ command: line('cd', 'pwd'), workingDir: inner })
  assert.equal(result.stdout.trim().toLowerCase(), inner.toLowerCase())
  await assert.rejects(
    engine.run({ command: line('cd', 'pwd'), workingDir: join(dir, 'none') }),
    (error) => error instanceof ExecutionError && error.code === 'VALIDATION' && error.field === 'workingDir',
  )
})

test('input reaches the command', async () => {
  const input = 'a line\r\n'.repeat(10_000)
  const command = isWindows ? { program: 'find', args: ['line'] } : { program: 'cat' }
  const result = await engine.run({ command: { type: 'exec', ...command }, stdin: input })
  assert.equal(result.exitCode, 0)
  assert.ok(result.stdout === input)
})

test('much output arrives whole', async () => {
  const file = join(dir, 'much.txt')
  const much = 'a line of much output, with a ü in it\n'.repeat(100_000)
  writeFileSync(file, much)
  const result = await engine.run({ command: line(`type ${file}`, `cat ${file}`) })
  assert.equal(result.stdoutBytes, Buffer.byteLength(much))
  assert.ok(result.stdout === much)
})

test('a timeout ends the whole tree', async () => {
  const sleeper = new Sleeper()
  const command = line(`cmd /c "${sleeper.windows}"`, `sh -c '${sleeper.unix}; true'; true`)
  const running = engine.run({ command, timeoutMs: 3000 })
  await sleeper.started()
  const result = await running
  assert.equal(result.status, 'timeout')
  assert.equal(sleeper.runs(), false)
})

test('cancel resolves once nothing is left', async () => {
  const sleeper = new Sleeper()
  const id = await engine.execute({ command: line(sleeper.windows, `${sleeper.unix}; true`) })
  await sleeper.started()
  await engine.cancel(id)
  assert.equal(sleeper.runs(), false)
  assert.equal((await engine.getResult(id)).status, 'cancelled')
})

test('what a command leaves running is ended with it', async () => {
  const sleeper = new Sleeper()
  const command = line(`start /b cmd /c "${sleeper.windows}" & echo done`, `${sleeper.unix} & echo done`)
  const result = await engine.run({ command })
  assert.equal(plain(result.stdout), 'done\n')
  assert.equal(result.leftoverProcesses, true)
  assert.equal(sleeper.runs(), false)
})

test('nothing outlives the host that is killed', async () => {
  const sleeper = new Sleeper()
  const command = line(`cmd /c "${sleeper.windows}"`, `setsid ${sleeper.unix} >/dev/null 2>&1 & ${sleeper.unix}`)
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(fileURLToPath(new URL('../../index.js', import.meta.url)))})
    new ExecutionEngine({ logOutput: false }).execute({ command: ${JSON.stringify(command)} })`
  /** How a Node of this kind is started: this one, or that of another machine through its emulator. @type {string[]} */
  const [node = '', ...options] = JSON.parse(process.env['ENGINE_TEST_NODE'] ?? JSON.stringify([process.execPath]))
  const host = spawn(node, [...options, '-e', program], { stdio: 'ignore' })
  await sleeper.started()
  host.kill('SIGKILL')
  await until(() => !sleeper.runs(), 'the end of what the host had started', 5000)
})

test('a plan runs its steps and says how each ended', async () => {
  const commands = [line('exit 0', 'exit 0'), line('exit 4', 'exit 4'), line('exit 0', 'exit 0')]
  const plan = await engine.runPlan({
    strategy: { type: 'serial' },
    commands: commands.map((command) => ({ command })),
  })
  assert.deepEqual(
    plan.results.map((result) => result.status),
    ['completed', 'failed', 'skipped'],
  )
})

test('the log holds the lines', async () => {
  const result = await engine.run({ command: line('echo logged', 'echo logged') })
  assert.match(await engine.readLogs(result.id), / stdout [FP] logged/)
  assert.ok(existsSync(engine.getLogPath(result.id)))
})

test('bad input is refused with the path of the culprit', async () => {
  await assert.rejects(
    engine.run({ command: { type: 'exec', program: 'x', args: ['a', 'b\0'] } }),
    (error) => error instanceof ExecutionError && error.field === 'command.args[1]',
  )
})

test('orphan protection is in force', () => {
  assert.equal(engine.config.orphanProtection, true)
})
