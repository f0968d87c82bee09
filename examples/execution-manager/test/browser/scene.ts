// A deployment as it goes on, for the pictures of the documents: always the same, to the last line.

import type { PlaybookInfo, Run, RunSummary, StepStatus } from '../../src/api.js'
import { linesOf, step, type Script } from './stage.js'

/** What the clock of the browser shows. */
export const NOW = Date.parse('2026-11-21T10:02:14.300Z')
const START = NOW - 74_300
const ID = '6f1c2a90-4e0b-4d55-9a7e-21d7c0a9b3f4'

const at = (seconds: number): string => new Date(START + seconds * 1_000).toISOString()
const ended = (from: number, seconds: number, lines: number, command: string) => ({
  status: 'completed' as const,
  executionId: ID,
  startedAt: at(from),
  durationMs: seconds * 1_000,
  queuedMs: 2,
  exitCode: 0,
  lines,
  command,
})
const running = (from: number, lines: number, command: string) => ({
  status: 'running' as const,
  executionId: ID,
  startedAt: at(from),
  lines,
  command,
})

const green = (text: string): string => `\u001b[32m${text}\u001b[0m`
const cyan = (text: string): string => `\u001b[36m${text}\u001b[0m`
const dim = (text: string): string => `\u001b[2m${text}\u001b[0m`
const yellow = (text: string): string => `\u001b[33m${text}\u001b[0m`

const suites = [
  'orders/create',
  'orders/refund',
  'orders/list',
  'payments/capture',
  'payments/retry',
  'stock/reserve',
  'stock/release',
]
const logs = {
  checkout: ['HEAD is now at 4be19c2 orders: Refund in the currency of the order'],
  'unit-tests': [
    ...suites.map(
      (suite, index) =>
        `${green('✓')} ${suite}.test.ts ${dim(`(${String(12 + index * 5)} tests) ${String(180 + index * 97)} ms`)}`,
    ),
    `${green('Tests  189 passed')} ${dim('(189)')}`,
  ],
  'build-image': [
    `${cyan('#1')} [internal] load build definition`,
    `${cyan('#4')} [build 2/5] RUN npm ci`,
    `${cyan('#4')} 11.42 added 418 packages in 11s`,
    `${cyan('#5')} [build 4/5] RUN npm run build`,
    `${cyan('#8')} exporting layers ${green('done')}`,
    'sha256:8c0f3d2be1749f0a65d91c2e',
  ],
  'scan-image': [
    '!database: downloading',
    `${yellow('MEDIUM')}  libexpat 2.5.0-1  CVE-2026-1144  fixed in 2.5.0-2`,
    'HIGH 0, CRITICAL 0',
  ],
  'push-image': ['!throttled: the registry answered 429', `orders:4be19c2 ${green('pushed')} ${dim('in 6.1 s')}`],
  'deploy-eu': [
    'service orders: desired 6, running 6, pending 0',
    'task set 1189: 0 of 6 healthy',
    'task set 1189: 2 of 6 healthy',
    'task set 1189: 5 of 6 healthy',
    `task set 1189: ${green('6 of 6 healthy')}`,
    green('eu-west-1 is on 4be19c2'),
  ],
  'deploy-us': [
    'service orders: desired 8, running 8, pending 0',
    'task set 1190: 0 of 8 healthy',
    `task set 1190: ${yellow('3 of 8 healthy')}`,
    `!task 9f21: ${yellow('health check failed, is started again')}`,
    `task set 1190: ${yellow('5 of 8 healthy')}`,
  ],
} as const

const steps = [
  step('checkout', [], ended(0.2, 1.4, 1, 'git fetch --depth 1 origin 4be19c2')),
  step('unit-tests', ['checkout'], ended(1.6, 14.2, 8, 'npm test')),
  step('build-image', ['checkout'], ended(1.6, 23.8, 6, 'docker buildx build --tag orders:4be19c2 .')),
  step('scan-image', ['build-image'], ended(25.4, 8.9, 3, 'trivy image orders:4be19c2')),
  step('push-image', ['unit-tests', 'build-image'], {
    ...ended(25.4, 13.6, 2, 'docker push registry.example.com/orders:4be19c2'),
    attempts: [
      { exitCode: 1, signal: null, startedAt: at(25.4), durationMs: 4_500, error: 'exit code 1' },
      { exitCode: 0, signal: null, startedAt: at(32.9), durationMs: 6_100, error: null },
    ],
    outputs: { digest: 'sha256:8c0f3d2be174', size: 148_223_191 },
  }),
  step(
    'deploy-eu',
    ['push-image', 'scan-image'],
    ended(39, 19.4, 6, 'aws ecs update-service --cluster eu --service orders'),
  ),
  step(
    'deploy-us',
    ['push-image', 'scan-image'],
    running(39, 5, 'aws ecs update-service --cluster us --service orders'),
  ),
  step('smoke-tests', ['deploy-eu', 'deploy-us']),
  step('roll-back', ['smoke-tests'], { when: 'failure' }),
  step('report', ['smoke-tests'], { when: 'always' }),
]

const run: Run = {
  id: ID,
  playbook: 'deploy-orders',
  status: 'running',
  startedAt: at(0),
  endedAt: null,
  durationMs: null,
  error: null,
  description: 'Builds an image and deploys it to both regions.',
  parameters: { revision: '4be19c2', regions: ['eu-west-1', 'us-east-1'], token: '***' },
  steps,
}

const earlier = (
  number: number,
  playbook: string,
  status: RunSummary['status'],
  minutesAgo: number,
  seconds: number,
): RunSummary => ({
  id: `${String(number * 11_111_111)}-0b1c-4d2e-8f3a-9b0c1d2e3f40`,
  playbook,
  status,
  startedAt: new Date(NOW - minutesAgo * 60_000).toISOString(),
  endedAt: new Date(NOW - minutesAgo * 60_000 + seconds * 1_000).toISOString(),
  durationMs: seconds * 1_000,
  error: null,
})

const info = (name: string, description: string, names: readonly string[]): PlaybookInfo => ({
  name,
  description,
  parameters: [],
  steps: names.map((one) => ({ name: one, type: 'exec', dependsOn: [], when: 'success', allowFailure: false })),
})

const runs: RunSummary[] = [
  run,
  earlier(3, 'audit-regions', 'completed', 14, 41.7),
  earlier(4, 'backup-database', 'completed', 62, 187),
  earlier(5, 'deploy-orders', 'failed', 95, 52.3),
  earlier(6, 'deploy-orders', 'cancelled', 101, 12.8),
  earlier(7, 'backup-database', 'timeout', 122, 600),
  earlier(8, 'audit-regions', 'completed', 134, 39.9),
  earlier(9, 'backup-database', 'interrupted', 151, 20.4),
]

/** Which line came when: what ran side by side is mixed as it was. */
const order: readonly (readonly [keyof typeof logs, number, number])[] = [
  ['checkout', 0, 1],
  ['build-image', 0, 2],
  ['unit-tests', 0, 4],
  ['build-image', 2, 3],
  ['unit-tests', 4, 8],
  ['build-image', 3, 6],
  ['scan-image', 0, 1],
  ['push-image', 0, 1],
  ['scan-image', 1, 3],
  ['push-image', 1, 2],
  ['deploy-eu', 0, 1],
  ['deploy-us', 0, 2],
  ['deploy-eu', 1, 3],
  ['deploy-us', 2, 3],
  ['deploy-eu', 3, 6],
  ['deploy-us', 3, 5],
]

/** @param status of the run and of its step `deploy-us`. */
export function scene(status: StepStatus & RunSummary['status'] = 'running'): Script {
  return {
    playbooks: [
      info(
        'deploy-orders',
        run.description,
        steps.map(({ name }) => name),
      ),
    ],
    runs,
    run: { ...run, status },
    logs,
    events: [
      { event: 'run', data: run },
      ...order.flatMap(([name, from, to]) => linesOf(name, logs[name].slice(from, to), from)),
    ],
  }
}

export const SCENE_RUN = ID
