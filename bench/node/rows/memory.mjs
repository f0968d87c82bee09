// What the host keeps, however its consumers behave and however many executions there are.

import { inNode } from '../sample.mjs'
import { own } from './types.mjs'

/** @param {import('../sample.mjs').Circumstances} circumstances @returns {import('./types.mjs').Row[]} */
export function memoryRows({ quick }) {
  const consumed = { work: 'consumers', commands: 4, seconds: quick ? 1.5 : 4 }
  const kinds = {
    stuck: 'whose callback never settles',
    waiting: 'whose callback takes 1 ms per line',
    busy: 'whose callback computes for 10 µs per line',
  }
  const rows = Object.entries(kinds).map(([consumer, which]) => ({
    id: `memory-${consumer}`,
    title: `4 commands that print endlessly, ${which}`,
    contenders: { [own]: inNode({ ...consumed, consumer }) },
    metrics: consumerMetrics,
  }))
  return [...rows, finished(quick ? 2000 : 20_000), running(quick ? 200 : 1000)]
}

/** @type {import('./types.mjs').Metric[]} */
const consumerMetrics = [
  { field: 'growth', title: 'growth for each, MB', digits: 1, targets: [{ field: 'growth', below: 20, unit: 'MB' }] },
  { field: 'deadline', title: 'seen to end after its deadline, ms', digits: 0 },
  { field: 'cancel', title: 'seen to end after a cancel, ms', digits: 0 },
  { field: 'settled', title: 'settled after a cancel, ms', digits: 0 },
]

/** @param {number} executions @returns {import('./types.mjs').Row} */
const finished = (executions) => ({
  id: 'memory-finished',
  title: `${executions} finished executions without output`,
  contenders: { [own]: inNode({ work: 'finished', executions }) },
  metrics: [
    { field: 'kept', title: 'kept of each, KiB', digits: 2, targets: [{ field: 'kept', below: 2, unit: 'KiB' }] },
    { field: 'cleanup', title: 'cleaning up, ms', digits: 1, targets: [{ field: 'cleanup', below: 50, unit: 'ms' }] },
    {
      field: 'busy',
      title: 'longest turn of the loop, ms',
      digits: 2,
      targets: [{ field: 'busy', below: 2, unit: 'ms' }],
    },
    { field: 'turn', title: 'the same with waits for a CPU, ms', digits: 2 },
  ],
})

/** @param {number} executions @returns {import('./types.mjs').Row} */
const running = (executions) => ({
  id: 'memory-running',
  title: `${executions} running executions`,
  contenders: { [own]: inNode({ work: 'running', executions }) },
  metrics: [
    { field: 'kept', title: 'kept of each, KiB', digits: 1, targets: [{ field: 'kept', below: 24, unit: 'KiB' }] },
    { field: 'threadsOfOne', title: 'threads, 1 running', digits: 0 },
    {
      field: 'threadsOfMany',
      title: `threads, ${executions / 2} running`,
      digits: 0,
      targets: [{ field: 'threadsOfMany', sameAs: 'threadsOfOne' }],
    },
  ],
})
