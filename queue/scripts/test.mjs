// Installs, compiles and runs every test of the package against a real server. The last line says how many passed and
// failed. `--report FILE` keeps the runner's report, `--engine-is-built` is for the setup, all else is for the runner.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../../scripts/run.mjs'

const dir = fileURLToPath(new URL('..', import.meta.url))
const own = mkdtempSync(join(tmpdir(), 'execution-queue-tests-'))
const words = process.argv.slice(2)
const asked = words.indexOf('--report')
const report = asked === -1 ? join(own, 'report.json') : (words.splice(asked, 2)[1] ?? '')
const built = words.indexOf('--engine-is-built')
const isBuilt = built !== -1 && words.splice(built, 1).length > 0

try {
  const setup = ['scripts/setup.mjs', ...(isBuilt ? ['--engine-is-built'] : [])]
  if ((await run(process.execPath, setup, { cwd: dir })) !== 0) {
    console.error('test: the setup failed, so nothing was tested')
    process.exit(1)
  }
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...words]
  process.exitCode = await run(process.execPath, vitest, { cwd: dir })
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, 'utf8'))
  const skipped = numPendingTests + numTodoTests
  console.log(`${numPassedTests} passed, ${numFailedTests} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
} finally {
  rmSync(own, { recursive: true, force: true })
}
