// The main job on real commands. Exits with 0 only if every one of them ended as it should.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ExecutionEngine } from '@escher-dbai/execution-engine'

/** @typedef {import('@escher-dbai/execution-engine').ExecutionResult} ExecutionResult */

const folder = mkdtempSync(join(tmpdir(), 'execution-engine-demo-'))
const engine = new ExecutionEngine({ logDir: join(folder, 'logs'), terminationGraceMs: 1000 })
const windows = process.platform === 'win32'
let surprises = 0

/** @param {string} line */
const show = (line) => console.log(`   | ${line}`)

/** @param {number} seconds */
const sleepFor = (seconds) => (windows ? `Start-Sleep ${seconds}` : `sleep ${seconds}`)

/**
 * @param {string} title
 * @param {import('@escher-dbai/execution-engine').ExecutionStatus} expected
 * @param {() => Promise<ExecutionResult>} act
 */
async function demo(title, expected, act) {
  console.log(`\n${title}`)
  const result = await act()
  const how = result.signal ?? (result.exitCode === null ? 'no exit code' : `exit code ${result.exitCode}`)
  console.log(`   ${result.status}, ${how}, after ${result.durationMs} ms`)
  if (result.error !== null) console.log(`   ${result.error}`)
  if (result.status !== expected) {
    surprises += 1
    console.log(`   expected ${expected}, found ${result.status}; it printed to stderr: ${result.stderr || 'nothing'}`)
  }
}

await demo('1. A program and its arguments', 'completed', () =>
  engine.run({ command: { type: 'exec', program: 'node', args: ['--version'] } }, { onStdout: show }),
)

await demo('2. A shell pipeline', 'completed', () => {
  const command = windows
    ? "'pear', 'apple', 'fig' | Sort-Object"
    : "printf '%s\\n' pear apple fig | sort | tr '[:lower:]' '[:upper:]'"
  return engine.run({ command: { type: 'shell', command } }, { onStdout: show })
})

await demo('3. A script file, with an argument and a variable', 'completed', () => {
  const path = join(folder, windows ? 'greet.ps1' : 'greet.sh')
  const script = windows ? 'Write-Output "$env:GREETING, $($args[0])"\n' : 'echo "$GREETING, $1"\n'
  writeFileSync(path, script)
  const interpreter = windows ? 'powershell' : 'sh'
  return engine.run(
    { command: { type: 'script', path, interpreter, args: ['world'] }, env: { GREETING: 'hello' } },
    { onStdout: show },
  )
})

await demo('4. Lines as they are printed, both streams', 'completed', () => {
  const begin = Date.now()
  const stamp = (/** @type {string} */ stream) => (/** @type {string} */ line) =>
    show(`${String(Date.now() - begin).padStart(5)} ms  ${stream}  ${line}`)
  const command = windows
    ? 'foreach ($i in 1..3) { "line $i"; [Console]::Error.WriteLine("note $i"); Start-Sleep -Milliseconds 300 }'
    : 'for i in 1 2 3; do echo "line $i"; echo "note $i" >&2; sleep 0.3; done'
  return engine.run({ command: { type: 'shell', command } }, { onStdout: stamp('stdout'), onStderr: stamp('stderr') })
})

await demo('5. A deadline of half a second for a command that would take a minute', 'timeout', () =>
  engine.run({ command: { type: 'shell', command: sleepFor(60) }, timeoutMs: 500 }),
)

await demo('6. A cancel after a quarter of a second', 'cancelled', async () => {
  const id = await engine.execute({ command: { type: 'shell', command: sleepFor(60) } })
  await new Promise((resolve) => setTimeout(resolve, 250))
  await engine.cancel(id)
  return engine.getResult(id)
})

await demo('7. A program that does not exist', 'failed', () =>
  engine.run({ command: { type: 'exec', program: 'no-such-program' } }),
)

await engine.shutdown()
rmSync(folder, { recursive: true })
console.log(surprises === 0 ? '\nEach ended as expected.' : `\n${surprises} did not end as expected.`)
process.exitCode = surprises === 0 ? 0 : 1
