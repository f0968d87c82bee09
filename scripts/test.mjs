// Installs, builds and runs every test suite, also after one has failed. In the end it names what failed; the last line
// says how many tests passed and failed, as the runners counted them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { files, otherUser } from './other-user.mjs'
import { countIn, failure, failuresIn, vitest, words } from './reports.mjs'
import { root, run } from './run.mjs'

/** @typedef {import('./reports.mjs').Count} Count */
/** @typedef {{ status: number, count: Count, failures?: string[] }} Outcome */

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
  const failures = [...output.matchAll(/^test (.*) \.\.\. FAILED$/gm)].map((line) => `failed: ${line[1]}`)
  return { status, count, failures }
}

/**
 * @param {string} name
 * @param {(report: string) => string[]} args
 * @param {{ dir?: string, as?: import('./run.mjs').User | undefined }} [options]
 * @returns {Promise<Outcome>}
 */
async function jsTest(name, args, { dir = reports, as } = {}) {
  const report = join(dir, `${name}.json`)
  let errors = ''
  const status = await run(process.execPath, args(report), { as, onErrors: (text) => (errors += text) })
  const failures = failuresIn(report)
  // What no test has caught, as an unhandled rejection, stands in no report.
  if (status !== 0 && failures.length === 0) {
    const uncaught = errors.slice(Math.max(errors.search(/Unhandled/), 0))
    failures.push(...failure(`${name} ended with ${status}, though no test failed`, uncaught))
  }
  return { status, count: countIn(report), failures }
}

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
  const failures = [...output.matchAll(/^(?:FAILED| {7}) .*$/gm)].map(([line]) => `failed: ${line}`)
  return { status, count: { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) }, failures }
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

// The addon, which the setup builds, keeps one core busy for most of its time: the tests of the crate are compiled beside it.
// What is wrong with them is said where they are run.
const compiling = run('cargo', ['test', '--workspace', '--locked', '--no-run', '--quiet']).catch(() => {})
const isSetUp = (await run(process.execPath, ['scripts/setup.mjs'])) === 0
await compiling
if (!isSetUp) {
  console.error('test: the setup failed, so nothing was tested')
  process.exit(1)
}

const total = { passed: 0, failed: 0, skipped: 0 }
const summary = []
const failures = []
for (const [title, suite] of suites) {
  console.log(`\ntest: ${title}`)
  /** @type {Outcome} */
  let outcome
  try {
    outcome = await suite()
  } catch (error) {
    const why = /** @type {Error} */ (error).message
    console.error(`test: ${title}: ${why}`)
    outcome = { status: 1, count: { passed: 0, failed: 0, skipped: 0 }, failures: failure(title, why) }
  }
  const { status, count } = outcome
  failures.push(...(outcome.failures ?? []))
  // A suite that fails without a failed test, as when it does not compile, is one failure.
  if (status !== 0 && count.failed === 0) count.failed = 1
  total.passed += count.passed
  total.failed += count.failed
  total.skipped += count.skipped
  summary.push(`test: ${title}: ${words(count)}`)
}
rmSync(reports, { recursive: true })

console.log(['', ...failures, ...summary, words(total)].join('\n'))
process.exitCode = total.failed > 0 ? 1 : 0
