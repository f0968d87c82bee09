// `npm run manager`: installs, builds, starts the service, and runs a first playbook. Words behind `--` are for
// `play serve`.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { run } from '../../../scripts/run.mjs'

const here = (/** @type {string} */ file) => fileURLToPath(new URL(file, import.meta.url))

const status = await run(process.execPath, [here('setup.mjs')])
if (status === 0) {
  const words = process.argv.slice(2)
  const first = words.includes('--run') ? [] : ['--run', 'hello']
  const service = spawn(process.execPath, [here('../dist/play.js'), 'serve', ...first, ...words], { stdio: 'inherit' })
  // Ctrl-C reaches the service as well, which ends what it runs before it ends.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) service.kill(signal)
    })
  }
  service.on('close', (code) => {
    process.exitCode = code ?? 1
  })
} else {
  process.exitCode = 1
}
