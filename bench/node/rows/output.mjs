// Lines to a callback, and bytes that are only counted.

import { inBun, inNode, readFloor } from '../sample.mjs'
import { own } from './types.mjs'

const perSecond = { field: 'rate', title: 'million lines/s', digits: 2, cpuPer: 'M lines' }

/** @param {import('../sample.mjs').Circumstances} circumstances @returns {import('./types.mjs').Row[]} */
export function lineRows({ tools, bun, quick }) {
  const million = quick ? 250_000 : 1_000_000
  const amount = { work: 'lines', method: 'lines', tools, commands: 1, lines: 3 * million }
  const spec = (/** @type {string} */ contender, more = {}) => ({ ...amount, contender, ...more })
  const node = (/** @type {string} */ contender, more = {}) => inNode(spec(contender, more))
  const logging = { logOutput: true, logDir: `${tools}/logs`, maxLogSizeBytes: 2 ** 30 }
  const eight = { commands: 8, lines: million }
  const lines = `${(3 * million) / 1e6} M lines of 80 characters`
  return [
    {
      id: 'lines',
      title: `${lines} to a callback`,
      contenders: {
        [own]: node('engine'),
        readline: node('child_process'),
        'data + split by hand': node('by_hand'),
        execa: node('execa'),
        tinyexec: node('tinyexec'),
        'nano-spawn': node('nano-spawn'),
        'zx (bash)': node('zx'),
        'Bun, split by hand': inBun(bun, spec('bun')),
      },
      metrics: [
        {
          ...perSecond,
          targets: [
            { versus: 'readline', atLeast: 3.5 },
            { versus: 'data + split by hand', atLeast: 1.7 },
            { field: 'p99', below: 10, unit: 'ms p99' },
          ],
        },
      ],
    },
    {
      id: 'lines-log',
      title: `${lines} to a callback and to the log`,
      contenders: {
        [own]: node('engine', { config: logging, forget: logging.logDir }),
        readline: node('child_process'),
      },
      metrics: [{ ...perSecond, targets: [{ versus: 'readline', atLeast: 2 }] }],
    },
    {
      id: 'lines-stream',
      title: `${lines} through \`for await\``,
      contenders: { [own]: node('engine', { method: 'iterate' }), execa: node('execa', { method: 'iterate' }) },
      metrics: [{ ...perSecond, targets: [{ versus: 'execa', atLeast: 3 }] }],
    },
    {
      id: 'lines-8',
      title: `8 commands at once, ${million / 1e6} M lines of 80 characters each, to a callback`,
      contenders: { [own]: node('engine', eight), readline: node('child_process', eight) },
      metrics: [perSecond],
    },
  ]
}

/** @param {import('../sample.mjs').Circumstances} circumstances @returns {import('./types.mjs').Row[]} */
export function readRows({ tools, bun, quick }) {
  const bytes = quick ? 2 ** 28 : 2 ** 30
  const spec = (/** @type {string} */ contender) => ({ work: 'read', contender, bytes })
  return [
    {
      id: 'read',
      title: `reading ${bytes / 2 ** 30} GiB, the log off`,
      contenders: {
        [own]: inNode(spec('engine')),
        "child_process 'data'": inNode(spec('child_process')),
        Bun: inBun(bun, spec('bun')),
        'head | cat >/dev/null': readFloor(bytes),
      },
      metrics: [
        {
          field: 'rate',
          title: 'GB/s',
          digits: 2,
          cpuPer: 'GB',
          targets: [
            { versus: "child_process 'data'", atLeast: 2.3 },
            { versus: 'head | cat >/dev/null', atLeast: 0.8 },
          ],
        },
      ],
    },
    {
      id: 'read-secrets',
      title: `reading ${bytes / 2 ** 30} GiB of a log with 10 secrets to be masked, the log off`,
      contenders: {
        [own]: inNode({ ...spec('engine'), log: `${tools}/log`, secrets: 10 }),
        'without secrets': inNode({ ...spec('engine'), log: `${tools}/log` }),
        "child_process 'data', unmasked": inNode({ ...spec('child_process'), log: `${tools}/log` }),
      },
      metrics: [
        {
          field: 'rate',
          title: 'GB/s',
          digits: 2,
          cpuPer: 'GB',
          targets: [{ versus: 'without secrets', atLeast: 0.8 }],
        },
      ],
    },
  ]
}
