// Installs, builds and runs every test suite, also after one has failed. The last line says how many tests passed and
// failed, as the runners counted them.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { files, otherUser } from './other-user.mjs'
import { root, run } from './run.mjs'

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */
/** @typedef {{ status: number, count: Count }} Outcome */

const reports = mkdtempSync(join(tmpdir(), 'execution-engine-tests-'))

/** @returns {Promise<Outcome>} */
async function cargoTest() {
  let output = ''
  const status = await run('cargo', ['test', '--workspace', '--locked', '--no-fail-fast'], {
    onOutput: (text) => (output += text),
  })
  const count = { passed: 0, failed: 0, skipped: 0 }
  for (const line of output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    count.passed += Number(line[1])
    count.failed += Number(line[2])
    count.skipped += Number(line[3])
  }
  return { status, count }
}

/**
 * Vitest and Jest write the same report.
 *
 * @param {string} name
 * @param {(report: string) => string[]} args
 * @param {{ dir?: string, as?: import('./run.mjs').User | undefined }} [options]
 * @returns {Promise<Outcome>}
 */
async function jsTest(name, args, { dir = reports, as } = {}) {
  const report = join(dir, `${name}.json`)
  const status = await run(process.execPath, args(report), { as })
  const found = JSON.parse(readFileSync(report, 'utf8'))
  const skipped = found.numPendingTests + found.numTodoTests
  return { status, count: { passed: found.numPassedTests, failed: found.numFailedTests, skipped } }
}

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

/**
 * The part of the tests that depends on the user. Where there is no other, it counts as one test that was not run.
 *
 * @returns {Promise<Outcome>}
 */
async function otherUserTest() {
  const user = otherUser()
  if (typeof user === 'string') {
    console.log(`test: not run: ${user}`)
    return { status: 0, count: { passed: 0, failed: 0, skipped: 1 } }
  }
  try {
    // Its configuration is otherwise written into `node_modules` before it is read.
    const args = vitest('--configLoader=runner', ...files)
    return await jsTest('other-user', args, { dir: user.dir, as: user })
  } finally {
    user.done()
  }
}

/**
 * A compilation is one test.
 *
 * @returns {Promise<Outcome>}
 */
async function typeTest() {
  const status = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '__test__/types'])
  return { status, count: { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 } }
}

/**
 * A part of the soak is one test.
 *
 * @returns {Promise<Outcome>}
 */
async function soakTest() {
  let output = ''
  const status = await run(process.execPath, ['__test__/soak/run.mjs', '--quick'], {
    onOutput: (text) => (output += text),
  })
  const [, passed = 0, failed = 0, skipped = 0] =
    output.match(/^soak: (\d+) passed, (\d+) failed, (\d+) not run$/m) ?? []
  return { status, count: { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) } }
}

/** @param {string} name of its tests */
const managerTest = (name) =>
  jsTest(`manager-${name}`, (report) => [
    'examples/execution-manager/scripts/test.mjs',
    name,
    '--engine-is-built',
    '--report',
    report,
  ])

/** @type {[title: string, suite: () => Promise<Outcome>][]} */
const suites = [
  ['the Rust crate and its examples (cargo test)', cargoTest],
  ['the types (tsc)', typeTest],
  ['the package (Vitest)', () => jsTest('vitest', vitest())],
  ['the package, as a user who is not root (Vitest)', otherUserTest],
  ['faults and long runs, in their short form (soak)', soakTest],
  [
    'the package (Jest)',
    () =>
      jsTest('jest', (report) => [
        'node_modules/jest/bin/jest.js',
        '--config=__test__/package/jest/jest.config.cjs',
        '--json',
        `--outputFile=${report}`,
      ]),
  ],
  [
    'the queue, against a real server (Vitest)',
    () => jsTest('queue', (report) => ['queue/scripts/test.mjs', '--engine-is-built', '--report', report]),
  ],
  ['the Execution Manager (Vitest)', () => managerTest('service')],
  ['the Execution Manager (Jest)', () => managerTest('jest')],
  ['the page of the Execution Manager, in a browser', () => managerTest('page')],
]

/** @param {Count} count */
const words = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`

if ((await run(process.execPath, ['scripts/setup.mjs'])) !== 0) {
  console.error('test: the setup failed, so nothing was tested')
  process.exit(1)
}

const total = { passed: 0, failed: 0, skipped: 0 }
const summary = []
for (const [title, suite] of suites) {
  console.log(`\ntest: ${title}`)
  /** @type {Outcome} */
  let outcome
  try {
    outcome = await suite()
  } catch (error) {
    console.error(`test: ${title}: ${/** @type {Error} */ (error).message}`)
    outcome = { status: 1, count: { passed: 0, failed: 0, skipped: 0 } }
  }
  const { status, count } = outcome
  // A suite that fails without a failed test, as when it does not compile, is one failure.
  if (status !== 0 && count.failed === 0) count.failed = 1
  total.passed += count.passed
  total.failed += count.failed
  total.skipped += count.skipped
  summary.push(`test: ${title}: ${words(count)}`)
}
rmSync(reports, { recursive: true })

console.log(`\n${summary.join('\n')}\n${words(total)}`)
process.exitCode = total.failed > 0 ? 1 : 0
