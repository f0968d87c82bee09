// Checks the public types, and the calls that they must refuse, with the next major version of the compiler too.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { npm, root, run } from './run.mjs'

const versions = ['5.9.3', '7.0.2']

let failed = 0
for (const version of versions) {
  const dir = join(root, '.cache', `typescript-${version}`)
  const home = join(dir, 'node_modules/typescript')
  const manifest = join(home, 'package.json')
  if (!existsSync(manifest) || JSON.parse(readFileSync(manifest, 'utf8')).version !== version) {
    mkdirSync(dir, { recursive: true })
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--loglevel=error']
    if ((await npm(['install', '--prefix', dir, ...quiet, `typescript@${version}`])) !== 0) process.exit(1)
  }
  const status = await run(process.execPath, [join(home, 'bin/tsc'), '-p', '__test__/types'])
  console.log(`types: TypeScript ${version}: ${status === 0 ? 'passed' : 'failed'}`)
  if (status !== 0) failed += 1
}
console.log(`${versions.length - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
