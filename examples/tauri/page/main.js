// The page: what runs and has run, and what the selected one prints.

import { Run, show } from './run.js'

const { invoke, Channel } = window.__TAURI__.core

/** @type {Map<string, Run>} */
const runs = new Map()
/** @type {Run | undefined} */
let selected

const byId = (id) => document.getElementById(id)

/** A channel whose messages are acknowledged: only then does the next one come. */
function channel(take) {
  const channel = new Channel()
  channel.onmessage = (message) => {
    take(message)
    // Not in an animation frame: there are none while the window is hidden.
    void invoke('taken', { channel: channel.id })
  }
  return channel
}

function known(id) {
  const run = runs.get(id) ?? new Run(id)
  runs.set(id, run)
  return run
}

function takeEvents(events) {
  for (const event of events) if (event.execution_id !== undefined) known(event.execution_id).take(event)
  render()
}

/** Does something, and says where it was refused. A defect of the page is told in the same place. */
async function attempt(work) {
  tell('')
  try {
    return await work()
  } catch (refusal) {
    tell(refusal)
    return undefined
  }
}

function tell(problem) {
  byId('problem').textContent = problem.message ?? String(problem)
}
window.addEventListener('error', ({ message }) => tell(message))
window.addEventListener('unhandledrejection', ({ reason }) => tell(reason))

async function start(line) {
  const request = { command: { type: 'shell', command: line }, metadata: { source: 'page' } }
  const id = await attempt(() => invoke('start', { request, onEvents: channel(takeEvents) }))
  if (id !== undefined) select(known(id))
}

const examplePlan = () => ({
  description: 'an example',
  steps: {
    fetch: { command: { type: 'shell', command: 'for i in 1 2 3; do echo fetched $i; sleep 0.3; done' } },
    check: { command: { type: 'shell', command: 'echo checked >&2' }, depends_on: ['fetch'] },
    pack: { command: { type: 'shell', command: 'sleep 0.5; echo packed' }, depends_on: ['fetch'] },
  },
})

/** What this page has not seen from the beginning: of before it was loaded again. Its log tells it from the offset on. */
async function resume({ id, status, command }) {
  const run = known(id)
  run.begin(status, command)
  render()
  const lines = channel((entries) => {
    for (const entry of entries) run.takeEntry(entry)
    render()
  })
  await attempt(() => invoke('follow', { id, from: run.offset, onLines: lines }))
  const list = await invoke('list', {})
  const now = list.find((summary) => summary.id === id)
  if (now !== undefined) run.begin(now.status, now.command)
  render()
}

function select(run) {
  selected = run
  render()
}

let isPending = false
function render() {
  if (isPending) return
  isPending = true
  requestAnimationFrame(() => {
    isPending = false
    show({ runs: [...runs.values()], selected, select })
  })
}

byId('start').addEventListener('submit', (event) => {
  event.preventDefault()
  void start(byId('line').value)
})
byId('plan').addEventListener('click', () => {
  void attempt(() => invoke('start_plan', { plan: examplePlan(), onEvents: channel(takeEvents) }))
})
byId('cancel').addEventListener('click', () => {
  if (selected !== undefined) void attempt(() => invoke('cancel', { id: selected.id, reason: 'on the page' }))
})

for (const summary of (await invoke('list', {})).toReversed()) void resume(summary)
