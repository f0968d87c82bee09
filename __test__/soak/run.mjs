// Faults and long runs: `npm run soak`, some forty minutes long; `npm run soak -- --quick`, a minute. `--seed N` repeats
// a run, `--only NAME` does one part, or several if it is given more than once.

import { parseArgs } from 'node:util'
import * as environments from './parts/environments.mjs'
import * as executions from './parts/executions.mjs'
import { aHostThatIsProcessOne } from './parts/first.mjs'
import { filesThatHang } from './parts/hanging.mjs'
import * as logs from './parts/logs.mjs'
import * as queues from './parts/queue.mjs'
import * as scarcity from './parts/scarcity.mjs'
import * as strangers from './parts/strangers.mjs'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    only: { type: 'string', multiple: true, default: [] },
  },
})
const parts = Object.entries({
  ...executions,
  ...environments,
  ...scarcity,
  aHostThatIsProcessOne,
  filesThatHang,
  ...logs,
  ...strangers,
  ...queues,
})
const names = parts.map(([name]) => name)
const unknown = values.only.find((name) => !names.includes(name))
if (unknown !== undefined) throw new Error(`--only: expected one of ${names.join(', ')}, found ${unknown}`)
const seed = Number(values.seed)
console.log(`soak: seed ${seed}${values.quick ? ', short form' : ''}`)

let failed = 0
let passed = 0
let notRun = 0
for (const [name, part] of parts) {
  if (values.only.length > 0 && !values.only.includes(name)) continue
  // The short form of these is among the queue's own tests.
  if (values.quick && values.only.length === 0 && name in queues) continue
  const begun = Date.now()
  const outcome = await part({ quick: values.quick, seed })
  const { figures, faults } = outcome
  const seconds = ((Date.now() - begun) / 1000).toFixed(1)
  if (outcome.notRun !== undefined) {
    console.log(`not run ${name}: ${outcome.notRun}`)
    notRun += 1
    continue
  }
  console.log(`${faults.length === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s): ${figures}`)
  for (const fault of faults.slice(0, 10)) console.log(`       ${fault}`)
  if (faults.length === 0) passed += 1
  else failed += 1
}
console.log(`soak: ${passed} passed, ${failed} failed, ${notRun} not run`)
// What the long form is for is to know.
process.exit(failed === 0 && (values.quick || notRun === 0) ? 0 : 1)
