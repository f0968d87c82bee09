// Installs, compiles and runs the tests: `service` (Vitest), `jest`, `page` (in a browser), or all of them. The last line
// says how many passed and failed. `--report FILE` keeps the report of the one that is named, `--engine-is-built` is for
// the setup.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run } from '../../../scripts/run.mjs'

const dir = fileURLToPath(new URL('..', import.meta.url))

/** @param {string[]} more @returns {(report: string) => string[]} */
const vitest =
  (...more) =>
  (report) => [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...more,
  ]

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
  let [passed, failed, skipped] = [0, 0, 0]
  for (const name of names) {
    const suite = suites[name]
    if (suite === undefined) throw new Error(`expected ${Object.keys(suites).join(', ')}, found ${name}`)
    const report = values.report ?? join(own, `${name}.json`)
    const status = await run(process.execPath, suite(report), { cwd: dir })
    if (status !== 0) process.exitCode = 1
    const found = JSON.parse(readFileSync(report, 'utf8'))
    passed += found.numPassedTests
    failed += found.numFailedTests
    skipped += found.numPendingTests + found.numTodoTests
  }
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
} finally {
  rmSync(own, { recursive: true, force: true })
}
