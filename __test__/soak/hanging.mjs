// A host in a namespace of mounts: the variables of strangers hang when they are read, and trees are ended meanwhile.
// `node hanging.mjs TRIALS DIRECTORY` prints what came of it.

import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { clear, newMark, percentile, started, survivors } from './processes.mjs'

const { ExecutionEngine } = createRequire(import.meta.url)('../..')
const [trials = '1', dir = '.'] = process.argv.slice(2)
const engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 2000 })
const run = (/** @type {string} */ line) => execFileSync('sh', ['-c', line], { encoding: 'utf8' }).trim()

/** An orphan that is nobody's here, and whose variables hang. @param {number} trial @param {string} mark */
async function stranger(trial, mark) {
  const pid = Number(run(`setsid sleep ${mark} >/dev/null 2>&1 & echo $!`))
  await started(mark, 1)
  const place = join(dir, String(trial))
  mkdirSync(place)
  const file = `/proc/${pid}/task/${pid}/environ`
  run(`mkfifo ${place}/environ && mount --bind ${place}/environ ${file}`)
  return { pid, free: () => run(`umount -l ${file}`) }
}

const times = []
let ended = 0
let left = 0
for (let trial = 0; trial < Number(trials); trial++) {
  const [own, theirs] = [newMark(), newMark()]
  const line = `setsid sleep ${own} & sleep ${own}`
  const id = await engine.execute({ command: { type: 'shell', command: line, shell: 'sh' } })
  await started(own, 3)
  const { pid, free } = await stranger(trial, theirs)
  const begun = Date.now()
  await engine.cancel(id)
  times.push(Date.now() - begun)
  const mine = survivors(own)
  left += mine.length
  clear(mine)
  if (!survivors(theirs).includes(pid)) ended += 1
  clear([pid])
  free()
}
console.log(JSON.stringify({ left, ended, median: percentile(times, 0.5), most: Math.max(...times) }))
process.exit()
