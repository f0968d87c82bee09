// What every runtime must be able to do with the package. Prints a line of JSON for each promise: its name, and what
// went wrong with it, or nothing. A runtime has no test runner in common with the others, so this needs none.
'use strict'

const assert = require('node:assert')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

const dir = mkdtempSync(join(tmpdir(), 'engine-runtime-'))
/** @param {string} command */
const shell = (command) => ({ command: /** @type {const} */ ({ type: 'shell', command, shell: 'sh' }) })

/** @type {Record<string, (engine: import('../../index').ExecutionEngine) => Promise<void>>} */
const promises = {
  async run(engine) {
    const result = await engine.run(shell('printf out; printf err >&2; exit 3'))
    assert.deepStrictEqual([result.status, result.exitCode, result.stdout, result.stderr], ['failed', 3, 'out', 'err'])
  },
  async lines(engine) {
    /** @type {string[]} */
    const lines = []
    await engine.run(shell('for i in 1 2 3; do echo "line $i"; done'), { onStdout: (line) => void lines.push(line) })
    assert.deepStrictEqual(lines, ['line 1', 'line 2', 'line 3'])
  },
  async stream(engine) {
    const types = []
    for await (const event of engine.stream(shell('echo one'))) types.push(event.eventType)
    assert.deepStrictEqual(types, ['started', 'stdout', 'completed'])
  },
  async stdin(engine) {
    const result = await engine.run({ ...shell('cat'), stdin: 'given' })
    assert.strictEqual(result.stdout, 'given')
  },
  async environment(engine) {
    process.env['ESCHER_SET_HERE'] = 'set'
    const result = await engine.run(shell('echo "$ESCHER_SET_HERE"'))
    assert.strictEqual(result.stdout, 'set\n')
  },
  async timeout(engine) {
    const result = await engine.run({ ...shell('sleep 60'), timeoutMs: 100 })
    assert.strictEqual(result.status, 'timeout')
  },
  async cancel(engine) {
    const controller = new AbortController()
    const running = engine.run(shell('echo started; sleep 60'), {
      signal: controller.signal,
      onStdout: () => controller.abort(),
    })
    assert.strictEqual((await running).status, 'cancelled')
  },
  async plan(engine) {
    const result = await engine.runPlan({ strategy: { type: 'serial' }, commands: [shell('true'), shell('true')] })
    assert.deepStrictEqual([result.status, result.stats.completed], ['completed', 2])
  },
  async refusal(engine) {
    await assert.rejects(engine.run({ command: { type: 'exec', program: '' } }), { code: 'VALIDATION' })
  },
}

/** @param {string} promise @param {() => Promise<unknown>} keep */
async function tell(promise, keep) {
  const error = await keep().then(
    () => undefined,
    (error) => String(error.message ?? error),
  )
  console.log(JSON.stringify({ promise, error }))
}

async function main() {
  const { ExecutionEngine } = require('../../index.js')
  const engine = new ExecutionEngine({ logDir: join(dir, 'logs'), terminationGraceMs: 500 })
  for (const [promise, keep] of Object.entries(promises)) await tell(promise, () => keep(engine))
  await tell('worker threads', async () => {
    const { Worker } = require('node:worker_threads')
    const worker = new Worker(join(__dirname, 'worker.cjs'))
    const said = await new Promise((resolve, reject) => {
      worker.once('message', resolve).once('error', reject)
    })
    await worker.terminate()
    assert.strictEqual(said, 'from a worker\n')
  })
  await tell('shutdown', () => engine.shutdown())
  rmSync(dir, { recursive: true, force: true })
  // That the program ends now by itself is the last promise; who started it sees whether it does.
}

void main()
