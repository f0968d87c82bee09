// The tests that docs/testing.md shows, under the runners that it names.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { packagePath, temporary } from './support.js'

const root = dirname(packagePath)
const text = readFileSync(join(root, 'docs/testing.md'), 'utf8')
const files = [...text.matchAll(/^```[jt]s\n\/\/ ([\w.]+)\n([^]*?)^```$/gm)]

/** A project of a user, with the files that the document shows. */
function project(extension: RegExp): string {
  const dir = temporary()
  mkdirSync(join(dir, 'node_modules/@escher-dbai'), { recursive: true })
  symlinkSync(root, join(dir, 'node_modules/@escher-dbai/execution-engine'))
  for (const name of ['vitest', '@jest']) symlinkSync(join(root, 'node_modules', name), join(dir, 'node_modules', name))
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  for (const [, name = '', code = ''] of files) if (extension.test(name)) writeFileSync(join(dir, name), code)
  return dir
}

interface Report {
  numPassedTests: number
  numTotalTests: number
  numPassedTestSuites: number
}

function runIn(dir: string, runner: string, ...args: string[]): Report {
  // Not as a part of this run.
  const { VITEST: _, VITEST_WORKER_ID: __, NODE_ENV: ___, ...env } = process.env
  const report = join(dir, 'report.json')
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules', runner), ...args, `--outputFile=${report}`],
    { cwd: dir, encoding: 'utf8', env },
  )
  try {
    return JSON.parse(readFileSync(report, 'utf8')) as Report
  } catch {
    throw new Error(`${runner} told of nothing:\n${stdout}\n${stderr}`)
  }
}

test('the document shows files for both runners', () => {
  const names = files.map(([, name]) => name).sort()
  expect(names).toEqual(
    ['branch.cjs', 'branch.test.cjs', 'branch.test.ts', 'branch.ts', 'deploy.test.ts', 'deploy.ts'].sort(),
  )
})

test('the tests for Vitest pass under Vitest', { timeout: 60_000 }, () => {
  const report = runIn(project(/ts$/), 'vitest/vitest.mjs', 'run', '--reporter=json')
  expect(report).toMatchObject({ numPassedTests: 4, numTotalTests: 4 })
})

test.each([
  ['as they are', {}],
  ['through Babel', { '\\.cjs$': join(root, 'node_modules/babel-jest') }],
])('the tests for Jest pass under Jest, %s', { timeout: 60_000 }, (_, transform) => {
  const dir = project(/cjs$/)
  const config = { testMatch: ['**/*.test.cjs'], moduleFileExtensions: ['cjs', 'js', 'json', 'node'], transform }
  const report = runIn(dir, 'jest/bin/jest.js', '--json', `--config=${JSON.stringify(config)}`)
  expect(report).toMatchObject({ numPassedTests: 1, numTotalTests: 1 })
})
