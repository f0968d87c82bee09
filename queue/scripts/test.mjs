// Installs, compiles and runs every test of the package against a real server. The last line says how many passed and
// failed. `--report FILE` keeps the runner's report, `--engine-is-built` is for the setup, all else is for the runner.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countIn, vitest, words } from '../../scripts/reports.mjs'
import { run } from '../../scripts/run.mjs'

const dir = fileURLToPath(new URL('..', import.meta.url))
const own = mkdtempSync(join(tmpdir(), 'execution-queue-tests-'))
const given = process.argv.slice(2)
const asked = given.indexOf('--report')
const report = asked === -1 ? join(own, 'report.json') : (given.splice(asked, 2)[1] ?? '')
const built = given.indexOf('--engine-is-built')
const isBuilt = built !== -1 && given.splice(built, 1).length > 0

try {
  const setup = ['scripts/setup.mjs', ...(isBuilt ? ['--engine-is-built'] : [])]
  if ((await run(process.execPath, setup, { cwd: dir })) !== 0) {
    console.error('test: the setup failed, so nothing was tested')
    process.exit(1)
  }
  process.exitCode = await run(process.execPath, vitest(...given)(report), { cwd: dir })
  console.log(words(countIn(report)))
} finally {
  rmSync(own, { recursive: true, force: true })
}
