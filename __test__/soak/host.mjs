// A host that starts a burst of deep trees, to be killed in the middle of it: `node host.mjs MARK COUNT END`.

import { createRequire } from 'node:module'

const { ExecutionEngine } = createRequire(import.meta.url)('../..')
const [mark, count, end] = process.argv.slice(2)
const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })

const trees = [
  `sleep ${mark} & sh -c "sleep ${mark} & sleep ${mark}"`,
  `setsid sh -c "sleep ${mark} & sleep ${mark}" & sleep ${mark}`,
  `(setsid sleep ${mark} >/dev/null 2>&1 &) ; sleep ${mark}`,
]

// One command first, so that a host that is killed early has begun to use the engine.
await engine.run({ command: { type: 'exec', program: 'true' } })
process.stdout.write('ready\n')
for (let i = 0; i < Number(count); i++) {
  void engine.execute({ command: { type: 'shell', command: trees[i % trees.length], shell: 'sh' } })
}
if (end === 'exit') setTimeout(() => process.exit(0), 100)
if (end === 'throw') {
  setTimeout(() => {
    throw new Error('uncaught, as it is meant to be')
  }, 100)
}
if (end === 'abort') setTimeout(() => process.abort(), 100)
