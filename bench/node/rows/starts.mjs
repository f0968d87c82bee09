// Starts of `true`. The peers start it without pipes, their fastest way; the engine always has its pipes.

import { inBun, inNode, startFloor } from '../sample.mjs'
import { own } from './types.mjs'

const perSecond = { field: 'rate', title: 'starts/s', digits: 0, cpuPer: 'start' }
const floor = 'posix_spawn + wait in C'

/** @param {import('../sample.mjs').Circumstances} circumstances @returns {import('./types.mjs').Row[]} */
export function startRows({ tools, bun, quick }) {
  const amount = { work: 'starts', starts: quick ? 400 : 2000, seconds: quick ? 1 : 3 }
  const spec = (/** @type {string} */ contender, more = {}) => ({ ...amount, contender, atOnce: 16, ...more })
  const node = (/** @type {string} */ contender, more = {}) => inNode(spec(contender, more))
  const warm = (/** @type {string} */ contender) => node(contender, { before: 2 * amount.starts })
  const inC = (/** @type {number} */ atOnce) => startFloor(tools, amount.starts, atOnce)
  const peers = (more = {}) => ({
    child_process: node('child_process', more),
    execa: node('execa', more),
    tinyexec: node('tinyexec', more),
    'nano-spawn': node('nano-spawn', more),
    'zx (bash)': node('zx', more),
    Bun: inBun(bun, spec('bun', more)),
  })
  const without = 'this package, without'
  return [
    {
      id: 'starts-16',
      title: 'starts/s of `true`, 16 at once',
      // Beside what it is measured against: the machine may be faster or slower a few seconds later.
      contenders: { [own]: node('engine'), [floor]: inC(16), ...peers() },
      metrics: [{ ...perSecond, targets: [{ versus: floor, atLeast: 0.9 }] }],
    },
    {
      // The first thousands of starts in a process pay for V8 as it compiles what runs often, and for a heap that grows.
      id: 'starts-16-warm',
      title: 'starts/s of `true`, 16 at once, in a process that has started thousands before',
      contenders: { [own]: warm('engine'), [floor]: inC(16), child_process: warm('child_process') },
      metrics: [{ ...perSecond, targets: [{ versus: floor, atLeast: 0.85 }] }],
    },
    {
      id: 'starts-1',
      title: 'starts/s of `true`, one at a time',
      contenders: {
        [own]: node('engine', { atOnce: 1 }),
        child_process: node('child_process', { atOnce: 1 }),
        [floor]: inC(1),
      },
      metrics: [{ ...perSecond, targets: [{ versus: floor, atLeast: 0.75 }] }],
    },
    {
      id: 'starts-1gib',
      title: 'starts/s of `true`, 16 at once, 1 GiB of buffers in the host',
      ballast: 1024,
      contenders: { [own]: node('engine', { ballast: 1024 }), [without]: node('engine'), ...peers({ ballast: 1024 }) },
      metrics: [{ ...perSecond, targets: [{ versus: without, atLeast: 0.85 }] }],
    },
    {
      id: 'starts-name',
      title: 'starts/s of `true`, 16 at once, by bare name with a changed PATH and a working directory',
      contenders: { [own]: node('engine', { byName: tools }), [without]: node('engine') },
      metrics: [{ ...perSecond, targets: [{ versus: without, atLeast: 0.85 }] }],
    },
    ...(quick ? [0, 1024] : [0, 256, 512, 1024, 2048, 4096]).map((ballast) => ({
      id: `host-memory-${ballast}`,
      title: `starts/s of \`true\`, 16 at once, ${ballast / 1024} GiB of buffers in the host (for the chart)`,
      ballast,
      contenders: {
        [own]: node('engine', { ballast }),
        child_process: node('child_process', { ballast }),
        execa: node('execa', { ballast }),
        Bun: inBun(bun, spec('bun', { ballast })),
      },
      metrics: [perSecond],
    })),
  ]
}
