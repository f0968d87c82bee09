// A plan with a live view: a diamond of real commands, one line for each step, and a bar for the whole. Where there is
// no terminal, one plain line for each thing that happens. Needs a Unix shell.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { ExecutionEngine } from '@escher-dbai/execution-engine'
import logUpdate from 'log-update'

/** @typedef {import('@escher-dbai/execution-engine').ExecutionEvent | import('@escher-dbai/execution-engine').PlanEvent} PlanOrStepEvent */

const folder = mkdtempSync(join(tmpdir(), 'execution-engine-plan-'))
const engine = new ExecutionEngine({ logDir: join(folder, 'logs') })

const steps = [
  {
    name: 'list',
    command: 'find /usr/share /usr/include -type f -size -64k 2>/dev/null | head -n 3000 | tee files | wc -l',
  },
  { name: 'check', command: `tr '\\n' '\\0' < files | xargs -0 sha256sum > sums; wc -l < sums` },
  { name: 'pack', command: `tar -cf - -T files 2>/dev/null | gzip -1 > files.tar.gz; du -h files.tar.gz` },
  {
    name: 'report',
    command: `echo "$(cut -c -64 sums | sort | uniq -d | wc -l) twice, $(wc -c < files.tar.gz) bytes"`,
  },
].map(({ name, command }) => {
  return { name, command, id: crypto.randomUUID(), status: 'waiting', begun: 0, ms: 0, line: '' }
})

/** @type {import('@escher-dbai/execution-engine').ExecutionPlan} */
const plan = {
  description: 'list, then check and pack, then report',
  strategy: { type: 'dependency_graph', dependencies: { 1: [0], 2: [0], 3: [1, 2] } },
  commands: steps.map(({ id, command }) => ({ id, command: { type: 'shell', command }, workingDir: folder })),
  timeoutMs: 120_000,
}

let ended = 0

/** @param {PlanOrStepEvent} event */
function note(event) {
  if (event.eventType === 'progress') ended = event.completed
  const step = 'executionId' in event && steps.find(({ id }) => id === event.executionId)
  if (!step) return
  switch (event.eventType) {
    case 'started':
      step.status = 'running'
      step.begun = Date.now()
      break
    case 'stdout':
    case 'stderr':
      step.line = event.line
      break
    default:
      step.status = event.eventType
      step.ms = 'result' in event ? event.result.durationMs : 0
  }
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

/** @param {(typeof steps)[number]} step */
function lineOf({ name, status, begun, ms, line }) {
  const now = Date.now()
  const time = status === 'running' ? now - begun : ms
  const shown = status === 'waiting' ? '' : `${(time / 1000).toFixed(1)} s`
  const sign = {
    waiting: styleText('dim', '·'),
    running: styleText('cyan', frames[Math.floor(now / 80) % frames.length] ?? ''),
    completed: styleText('green', '✔'),
  }[status]
  return `${sign ?? styleText('red', '✖')} ${name.padEnd(8)} ${shown.padStart(7)}  ${styleText('dim', line)}`
}

function view() {
  const width = 30
  const full = Math.round((width * ended) / steps.length)
  const bar = styleText('green', '█'.repeat(full)) + styleText('dim', '░'.repeat(width - full))
  return [...steps.map(lineOf), `${bar} ${ended} of ${steps.length}`].join('\n')
}

/** @param {PlanOrStepEvent} event */
function tell(event) {
  const step = 'executionId' in event && steps.find(({ id }) => id === event.executionId)
  if (step) console.log(`${step.name}: ${event.eventType === 'stdout' ? event.line : event.eventType}`)
  if (event.eventType === 'progress') console.log(`${event.completed} of ${event.total}`)
}

const live = process.stdout.isTTY
const redraw = live ? setInterval(() => logUpdate(view()), 80) : undefined

const result = await engine.runPlan(plan, {
  onEvent: (event) => {
    note(event)
    if (!live) tell(event)
  },
})

clearInterval(redraw)
if (live) {
  logUpdate(view())
  logUpdate.done()
}
const { completed, total } = result.stats
console.log(`${result.status}: ${completed} of ${total} steps, ${(result.totalDurationMs / 1000).toFixed(1)} s`)
for (const { error } of result.results) if (error !== null) console.log(error)
await engine.shutdown()
rmSync(folder, { recursive: true })
process.exitCode = result.success ? 0 : 1
