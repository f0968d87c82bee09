// Installs, compiles and runs the tests: `service` (Vitest), `jest`, `page` (in a browser), or all of them. The last line
// says how many passed and failed. `--report FILE` keeps the report of the one that is named, `--engine-is-built` is for
// the setup.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { countIn, vitest, words } from '../../../scripts/reports.mjs'
import { run } from '../../../scripts/run.mjs'

const dir = fileURLToPath(new URL('..', import.meta.url))

/** @type {Record<string, (report: string) => string[]>} */
const suites = {
  service: vitest(),
  jest: (report) => [
    '--experimental-vm-modules',
    '--no-warnings',
    'node_modules/jest/bin/jest.js',
    '--json',
    `--outputFile=${report}`,
  ],
  page: vitest('--config', 'vitest.browser.config.mts'),
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { report: { type: 'string' }, 'engine-is-built': { type: 'boolean', default: false } },
})
const names = positionals.length > 0 ? positionals : Object.keys(suites)
const own = mkdtempSync(join(tmpdir(), 'execution-manager-tests-'))

try {
  const setup = ['scripts/setup.mjs', ...(values['engine-is-built'] ? ['--engine-is-built'] : [])]
  if ((await run(process.execPath, setup, { cwd: dir })) !== 0) {
    console.error('test: the setup failed, so nothing was tested')
    process.exit(1)
  }
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const name of names) {
    const suite = suites[name]
    if (suite === undefined) throw new Error(`expected ${Object.keys(suites).join(', ')}, found ${name}`)
    const report = values.report ?? join(own, `${name}.json`)
    const status = await run(process.execPath, suite(report), { cwd: dir })
    if (status !== 0) process.exitCode = 1
    const { passed, failed, skipped } = countIn(report)
    total.passed += passed
    total.failed += failed
    total.skipped += skipped
  }
  console.log(words(total))
} finally {
  rmSync(own, { recursive: true, force: true })
}
