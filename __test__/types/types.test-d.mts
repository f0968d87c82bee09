// What the compiler accepts and refuses. Checked by `tsc`, never run: each `@ts-expect-error` is an error itself where
// the line below it compiles.

import {
  checkPlan,
  checkRequest,
  ExecutionEngine,
  ExecutionError,
  ExecutionFailedError,
  quote,
  quotePowerShell,
  sh,
  type CancelledEvent,
  type Command,
  type CompletedEvent,
  type ErrorCode,
  type ExecuteOptions,
  type ExecutionAttempt,
  type ExecutionConfig,
  type ExecutionEvent,
  type ExecutionPlan,
  type ExecutionRequest,
  type ExecutionResult,
  type ExecutionStatus,
  type ExecutionSummary,
  type Executor,
  type FailedEvent,
  type FinalStatus,
  type LogLine,
  type LogPage,
  type PlanCompletedEvent,
  type NamedPlan,
  type PendingEvent,
  type PlanEvent,
  type SkippedEvent,
  type PlanExecutionResult,
  type PlanOptions,
  type ProgressEvent,
  type RetryingEvent,
  type RunOptions,
  type StartedEvent,
  type StderrEvent,
  type Stdin,
  type StdoutEvent,
  type TimeoutEvent,
} from '@escher-dbai/execution-engine'
import { PlanRun } from '@escher-dbai/execution-engine/plans'
import * as testing from '@escher-dbai/execution-engine/testing'
import { FakeEngine, fakeResult, type FakeScript } from '@escher-dbai/execution-engine/testing'

/** Whether two types are the same; `any` is only the same as itself. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only if the value has exactly this type. */
declare function expectType<Expected>(): <Found>(
  value: Found & (Same<Found, Expected> extends true ? unknown : never),
) => void

const engine = new ExecutionEngine()
const id = '6f1f0f9e-2f6e-4d2a-9c63-0f5f4a2f5c11'
const exec: Command = { type: 'exec', program: 'ls' }

// The constructor and its configuration
new ExecutionEngine({})
new ExecutionEngine({ defaultTimeoutMs: 1000, oversizedOutputStrategy: 'stream_to_file', logDir: '/tmp/logs' })
// @ts-expect-error an unknown key
new ExecutionEngine({ timeout: 1000 })
// @ts-expect-error a text for a number
new ExecutionEngine({ defaultTimeoutMs: '1000' })
// @ts-expect-error a strategy that does not exist
new ExecutionEngine({ oversizedOutputStrategy: 'drop' })
// @ts-expect-error not callable without `new`
ExecutionEngine()
expectType<ExecutionEngine>()(ExecutionEngine.initGlobal({ logOutput: false }))
expectType<ExecutionEngine>()(ExecutionEngine.global())
expectType<number>()(engine.config.defaultTimeoutMs)
expectType<'truncate_with_warning' | 'fail_execution' | 'stream_to_file'>()(engine.config.oversizedOutputStrategy)
expectType<string>()(engine.config.logDir)
const copyOfConfig: ExecutionConfig = engine.config
// @ts-expect-error what is in force cannot be set
engine.config.logDir = '/'
// @ts-expect-error counts cannot be set
engine.runningCount = 1
const counts: number[] = [engine.runningCount, engine.queuedCount, engine.totalCount, engine.availablePermits]

// Commands
const commands: Command[] = [
  exec,
  { type: 'exec', program: 'ls', args: ['-l'] },
  { type: 'shell', command: 'ls | wc -l', shell: 'sh' },
  { type: 'script', path: './deploy.sh', interpreter: 'bash', args: ['prod'] },
  { type: 'aws_cli', service: 'ec2', operation: 'describe-instances', args: [], profile: 'dev', region: 'eu-west-1' },
]
// @ts-expect-error no such type
const unknownType: Command = { type: 'spawn', program: 'ls' }
// @ts-expect-error a program is required
const noProgram: Command = { type: 'exec' }
// @ts-expect-error args are a list
const oneText: Command = { type: 'exec', program: 'ls', args: '-l' }
// @ts-expect-error args belong to no shell
const shellArgs: Command = { type: 'shell', command: 'ls', args: ['-l'] }
// @ts-expect-error an operation is required
const noOperation: Command = { type: 'aws_cli', service: 'ec2' }

// Requests
const request: ExecutionRequest = {
  id,
  command: exec,
  env: { LANG: 'C' },
  inheritEnv: false,
  workingDir: '/',
  stdin: new Uint8Array([1, 2]),
  timeoutMs: 1000,
  terminationGraceMs: 100,
  stopSignal: 'SIGINT',
  idleTimeoutMs: 100,
  successExitCodes: [0, 2],
  maxOutputSizeBytes: 1000,
  retry: { attempts: 3, delayMs: 100, backoff: 1.5, maxDelayMs: 1000, jitter: false, exitCodes: [75] },
  group: 'eu-west-1',
  priority: -1,
  leaseMs: 1000,
  outputLogPath: '/tmp/out',
  keepBackground: true,
  metadata: { source: 'ui', conversationId: 'c', tags: { team: 'a' } },
}
const withBuffer: ExecutionRequest = { command: exec, stdin: Buffer.from('x') }
async function* chunks() {
  yield 'text'
  yield Buffer.from('bytes')
}
const inputs: Stdin[] = [
  'text',
  { file: '/etc/hosts' },
  { file: new URL('file:///etc/hosts') },
  { open: true },
  chunks(),
  process.stdin,
  new ReadableStream<Uint8Array>(),
]
const elsewhere: ExecutionRequest = {
  command: { type: 'exec', program: new URL('file:///bin/ls') },
  env: { ...process.env, GONE: undefined },
  inheritEnv: ['PATH', 'LC_*'],
  workingDir: new URL('file:///'),
  umask: 0o077,
  nice: 10,
  user: 'nobody',
}
const fromLogin: ExecutionRequest = { command: exec, inheritEnv: 'login', user: 65_534 }
void [engine.writeStdin(id, 'text'), engine.writeStdin(id, Buffer.from('bytes')), engine.closeStdin(id)]
// @ts-expect-error an input that is not open is left out
const closedInput: Stdin = { open: false }
// @ts-expect-error numbers are no chunks
const numbers: Stdin = (async function* () {
  yield 5
})()
// @ts-expect-error a command is required
const noCommand: ExecutionRequest = {}
// @ts-expect-error an unknown key
const unknownKey: ExecutionRequest = { command: exec, cwd: '/' }
// @ts-expect-error a variable is a text
const numberInEnv: ExecutionRequest = { command: exec, env: { PORT: 80 } }
// @ts-expect-error a number of bytes is no input
const numberStdin: ExecutionRequest = { command: exec, stdin: 5 }
// @ts-expect-error milliseconds are a number
const textTimeout: ExecutionRequest = { command: exec, timeoutMs: '1s' }

// @ts-expect-error no such signal to ask with
const kill: ExecutionRequest = { command: exec, stopSignal: 'SIGKILL' }
// @ts-expect-error a list of codes
const oneCode: ExecutionRequest = { command: exec, successExitCodes: 2 }
// @ts-expect-error the number of attempts is required
const noAttempts: ExecutionRequest = { command: exec, retry: { delayMs: 5 } }

// What is passed may be read only, and undefined where it may be absent
const frozen = Object.freeze({
  command: Object.freeze({ type: 'exec', program: 'ls', args: Object.freeze(['-l']) } as const),
  env: Object.freeze({ LANG: 'C' }),
  metadata: Object.freeze({ tags: Object.freeze({ a: 'b' }) }),
})
void engine.run(frozen, Object.freeze({ onStdout: () => {} }))
const frozenPlan = Object.freeze({
  strategy: Object.freeze({
    type: 'dependency_graph',
    dependencies: Object.freeze({ 1: Object.freeze([0]) }),
  } as const),
  commands: Object.freeze([frozen, frozen]),
})
void engine.runPlan(frozenPlan)
const absent: ExecutionRequest = {
  id: undefined,
  command: { type: 'shell', command: 'ls', shell: undefined },
  env: undefined,
  inheritEnv: undefined,
  workingDir: undefined,
  stdin: undefined,
  timeoutMs: undefined,
  terminationGraceMs: undefined,
  outputLogPath: undefined,
  keepBackground: undefined,
  metadata: { source: undefined, conversationId: undefined, tags: undefined },
}
void engine.run(absent, { onStdout: undefined, onStderr: undefined, onEvent: undefined, signal: undefined })
engine.stream(absent, { signal: undefined })
void engine.readLogs(id, { maxBytes: undefined })
new ExecutionEngine({ logDir: undefined, oversizedOutputStrategy: undefined })
const absentInPlan: ExecutionPlan = {
  id: undefined,
  description: undefined,
  strategy: { type: 'parallel', maxConcurrency: undefined, stopOnError: undefined },
  commands: [],
  timeoutMs: undefined,
  metadata: undefined,
}
// @ts-expect-error null is no value
const nothing: ExecutionRequest = { command: exec, workingDir: null }
// @ts-expect-error what is passed is not changed by who is given it
absent.timeoutMs = 5

// Running
expectType<Promise<string>>()(engine.execute(request))
expectType<Promise<ExecutionResult>>()(engine.run(request))
const options: ExecuteOptions = {
  onStdout: (line) => expectType<string>()(line),
  onStderr: async (line) => expectType<string>()(line),
  onEvent: (event) => expectType<ExecutionEvent>()(event),
  signal: AbortSignal.timeout(1000),
}
void engine.run(request, options)
// @ts-expect-error an execution has no progress
void engine.run(request, { onEvent: (event: ProgressEvent) => event })
// @ts-expect-error a line is a text
void engine.run(request, { onStdout: (line: number) => line })
// @ts-expect-error an unknown option
void engine.run(request, { onData: () => {} })
// @ts-expect-error a controller is no signal
void engine.run(request, { signal: new AbortController() })
// @ts-expect-error a command is no request
void engine.run(exec)
// @ts-expect-error a request is required
void engine.execute()
// @ts-expect-error a stream is its own listener
engine.stream(request, { onStdout: () => {} })

// Results
function results(result: ExecutionResult, summary: ExecutionSummary): void {
  expectType<FinalStatus>()(result.status)
  expectType<'completed' | 'failed' | 'cancelled' | 'timeout' | 'skipped'>()(result.status)
  if (result.success) {
    expectType<'completed'>()(result.status)
    expectType<number>()(result.exitCode)
  } else {
    expectType<'failed' | 'cancelled' | 'timeout' | 'skipped'>()(result.status)
    expectType<number | null>()(result.exitCode)
    // @ts-expect-error what did not succeed has not completed
    if (result.status === 'completed') return
  }
  if (result.status === 'completed') expectType<true>()(result.success)
  expectType<number | null>()(result.exitCode)
  expectType<string | null>()(result.signal)
  expectType<readonly number[]>()(result.survivors)
  expectType<
    'SPAWN_FAILED' | 'OUTPUT_SIZE_EXCEEDED' | 'IDLE' | 'LEASE_LOST' | 'WORKER_LOST' | 'IO' | 'INVALID_STEP' | null
  >()(result.errorCode)
  expectType<string | null>()(result.planId)
  expectType<string | number | null>()(result.step)
  expectType<string | null>()(result.cancelReason)
  expectType<readonly ExecutionAttempt[]>()(result.attempts)
  expectType<Record<string, string>>()(result.metadata.tags)
  expectType<number | null>()(summary.durationMs)
  // @ts-expect-error an exit code may be absent
  const code: number = result.exitCode
  // @ts-expect-error no such status
  if (result.status === 'succeeded') return
  // @ts-expect-error times are texts
  const at: Date = result.completedAt
}

// Events are told apart by their type
async function events(): Promise<void> {
  for await (const event of engine.stream(request, { signal: new AbortController().signal })) {
    expectType<ExecutionEvent>()(event)
    switch (event.eventType) {
      case 'started':
        expectType<number>()(event.pid)
        // @ts-expect-error there is no result yet
        event.result
        break
      case 'stdout':
      case 'stderr':
        expectType<string>()(event.line)
        expectType<boolean>()(event.partial)
        break
      case 'retrying':
        expectType<number>()(event.attempt)
        expectType<number>()(event.delayMs)
        expectType<string>()(event.error)
        break
      // @ts-expect-error an execution has no progress
      case 'progress':
        break
      case 'pending':
        expectType<string | null>()(event.planId)
        expectType<string | number | null>()(event.step)
        expectType<string | undefined>()(event.metadata.source)
        break
      default:
        expectType<'completed' | 'failed' | 'cancelled' | 'timeout' | 'skipped'>()(event.eventType)
        expectType<ExecutionResult>()(event.result)
    }
  }
}

// One type for each event
expectType<
  | PendingEvent
  | StartedEvent
  | StdoutEvent
  | StderrEvent
  | RetryingEvent
  | CompletedEvent
  | FailedEvent
  | CancelledEvent
  | TimeoutEvent
  | SkippedEvent
>()({} as ExecutionEvent)
expectType<ProgressEvent | PlanCompletedEvent>()({} as PlanEvent)
expectType<CompletedEvent>()({} as Extract<ExecutionEvent, { eventType: 'completed' }>)
expectType<StderrEvent>()({} as Extract<ExecutionEvent, { eventType: 'stderr' }>)
function planEvents(event: PlanEvent): void {
  if (event.eventType === 'progress') expectType<string | null>()(event.currentCommand)
  else expectType<PlanExecutionResult>()(event.result)
  expectType<string>()(event.planId)
  // @ts-expect-error it is told of a plan
  event.executionId
}
const planOptions: PlanOptions = { onEvent: (event) => expectType<ExecutionEvent | PlanEvent>()(event) }
void engine.runPlan({ strategy: { type: 'serial' }, commands: [] }, planOptions)
// @ts-expect-error a plan tells more than an execution
void engine.runPlan({ strategy: { type: 'serial' }, commands: [] }, { onEvent: (event: ExecutionEvent) => event })

// Plans
const plans: ExecutionPlan[] = [
  { strategy: { type: 'serial' }, commands: [request] },
  { strategy: { type: 'parallel', maxConcurrency: 2, stopOnError: true }, commands: [], timeoutMs: 1000 },
  {
    id,
    description: 'd',
    strategy: { type: 'dependency_graph', dependencies: { 1: [0] } },
    commands: [],
    metadata: {},
  },
]
// @ts-expect-error dependencies are required
const noDependencies: ExecutionPlan = { strategy: { type: 'dependency_graph' }, commands: [] }
// @ts-expect-error serial runs one at a time
const serialConcurrency: ExecutionPlan = { strategy: { type: 'serial', maxConcurrency: 2 }, commands: [] }
// @ts-expect-error no such strategy
const unknownStrategy: ExecutionPlan = { strategy: { type: 'random' }, commands: [] }
// @ts-expect-error a plan has requests, not commands
const bareCommands: ExecutionPlan = { strategy: { type: 'serial' }, commands: [exec] }
expectType<Promise<string>>()(engine.executePlan(plans[0]!))
expectType<Promise<PlanExecutionResult>>()(engine.runPlan(plans[0]!, { onEvent: () => {} }))
expectType<Promise<PlanExecutionResult>>()(engine.getPlanResult(id))
expectType<Promise<PlanExecutionResult>>()(engine.waitForPlan(id))

// Asking
expectType<Promise<ExecutionStatus>>()(engine.getStatus(id))
expectType<Promise<ExecutionResult>>()(engine.getResult(id))
expectType<Promise<ExecutionResult>>()(engine.waitForCompletion(id))
expectType<Promise<ExecutionSummary[]>>()(engine.listExecutions())
expectType<Promise<string>>()(engine.readLogs(id, { maxBytes: 1024 }))
expectType<Promise<LogPage>>()(engine.readLogLines(id, { from: 0, limit: 10 }))
expectType<AsyncGenerator<LogLine, void, undefined>>()(
  engine.followLogs(id, { from: 0, signal: AbortSignal.timeout(1) }),
)
expectType<'stdout' | 'stderr'>()((await engine.readLogLines(id)).lines[0]!.stream)
expectType<string>()(engine.getLogPath(id))
expectType<Promise<void>>()(engine.cancel(id))
expectType<Promise<void>>()(engine.removeExecution(id))
expectType<Promise<void>>()(engine.removeExecution(id, { logs: true }))
expectType<Promise<number>>()(engine.cleanup())
expectType<() => void>()(engine.onEvent((event) => expectType<ExecutionEvent | PlanEvent>()(event)))
// @ts-expect-error an id is a text
void engine.getStatus(1)
// @ts-expect-error an unknown option
void engine.readLogs(id, { lines: 10 })
// @ts-expect-error an offset is a number
engine.followLogs(id, { from: '0' })
// @ts-expect-error a handler is required
engine.onEvent()

// Ending
expectType<Promise<void>>()(engine.shutdown())
expectType<Promise<void>>()(engine[Symbol.asyncDispose]())
const disposable: AsyncDisposable = engine

// Errors
function errors(error: unknown): void {
  if (!(error instanceof ExecutionError)) return
  expectType<ErrorCode>()(error.code)
  expectType<string | undefined>()(error.field)
  expectType<string | undefined>()(error.executionId)
  const plain: Error = error
  // @ts-expect-error no such code
  if (error.code === 'ENOENT') throw plain
}

// Convenience
const template: Command = sh`git log -n ${5} ${'main'} ${['a', 2]} ${Object.freeze(['b'])}`
void engine.run({ command: sh`git log` })
expectType<readonly string[]>()(sh`git log`.args)
// @ts-expect-error what may not be there is no argument
sh`git log ${undefined}`
// @ts-expect-error an object is no argument
sh`git log ${{ ref: 'main' }}`
// @ts-expect-error a template, and no call
sh('git log')
expectType<string>()(quote('a'))
expectType<string[]>()(['a'].map(quote))
expectType<string[]>()(['a'].map(quotePowerShell))
// @ts-expect-error one text
quote(['a'])

async function failures(options: RunOptions): Promise<void> {
  const certain = await engine.run(request, { throwOnFailure: true })
  expectType<number>()(certain.exitCode)
  expectType<true>()(certain.success)
  expectType<ExecutionResult>()(await engine.run(request, { throwOnFailure: false }))
  expectType<ExecutionResult>()(await engine.run(request, options))
  expectType<unknown>()(certain.json())
  // @ts-expect-error it does not wait for an end
  await engine.execute(request, { throwOnFailure: true })
  // @ts-expect-error a plan tells of each step
  await engine.runPlan({ strategy: { type: 'serial' }, commands: [] }, { throwOnFailure: true })
  try {
    await engine.run(request, { throwOnFailure: true, signal: undefined, onStdout: undefined })
  } catch (error) {
    if (error instanceof ExecutionFailedError) expectType<ExecutionResult>()(error.result)
  }
}

// What stands in for an engine
const executor: Executor = engine
async function withExecutor(executor: Executor): Promise<void> {
  expectType<ExecutionResult>()(await executor.run(request))
  expectType<number>()((await executor.run(request, { throwOnFailure: true })).exitCode)
}

// In tests of users
const fake: ExecutionEngine = new FakeEngine({ maxConcurrentExecutions: 1 })
const sameError: typeof ExecutionError = testing.ExecutionError
const script: FakeScript = { output: ['a', { stderr: 'b', afterMs: 5 }], exitCode: 2 }
expectType<FakeEngine>()(
  new FakeEngine()
    .when({ program: 'git', args: ['log', /^v/] }, script, {})
    .when(sh`git log`, (request) => ({ output: [expectType<ExecutionRequest>()(request) ?? ''] }))
    .when(({ command }) => command.type === 'shell', { hangs: true })
    .when(id, { result: { forced: true } })
    .otherwise({ signal: 'SIGTERM' }),
)
// @ts-expect-error no field of a command
new FakeEngine().when({ programs: 'git' }, {})
// @ts-expect-error an unknown key of a script
new FakeEngine().otherwise({ stdout: 'x' })
// @ts-expect-error no field of a result
new FakeEngine().otherwise({ result: { exitcode: 1 } })
expectType<ExecutionResult>()(fakeResult())
expectType<number>()(fakeResult({ success: true }).exitCode)
expectType<ExecutionResult>()(fakeResult({ exitCode: 2, stdout: undefined }))
// @ts-expect-error no such status
fakeResult({ status: 'done' })

const likeAnEngine: ExecutionEngine & Executor = new FakeEngine({ maxConcurrentExecutions: 1 })
void likeAnEngine.subscribe
// @ts-expect-error what stands in is made by its constructor alone
void FakeEngine.initGlobal

// Plans whose steps run elsewhere
const runElsewhere = new PlanRun(
  { steps: { it: request } },
  {
    run: async (request, step) => {
      expectType<string>()(step.id)
      expectType<string | number>()(step.step)
      return engine.run(request, { signal: step.signal })
    },
  },
)
void runElsewhere.result.then(({ stats }) => stats.completed)
// @ts-expect-error somebody has to run the steps
void new PlanRun({ steps: {} }, {})
// Checked without an engine, whatever it is
expectType<string | null | undefined>()(checkPlan(JSON.parse('{}')).steps[0]?.command)
expectType<string[]>()(checkRequest(5, { config: { groups: { a: 1 } } }).secretFields)

// Steps with names, and requests that are made
const named: NamedPlan = {
  steps: {
    build: { ...request, allowFailure: true },
    test: {
      dependsOn: ['build'],
      when: 'failure',
      request: (results) => {
        expectType<string | undefined>()(results['build']?.stdout)
        return request
      },
    },
  },
}
void engine.runPlan(named)
void engine.runPlan({
  strategy: { type: 'serial' },
  commands: [request, { request: async (results) => (results[0]?.success ? request : { ...request, timeoutMs: 1 }) }],
})
// @ts-expect-error no such condition
void engine.runPlan({ steps: { it: { ...request, when: 'never' } } })
// @ts-expect-error numbered steps have no names to depend on
void engine.runPlan({ strategy: { type: 'serial' }, commands: [{ ...request, dependsOn: ['it'] }] })
void engine.listExecutions({ status: 'running', tag: { team: 'blue' }, limit: 3 })
// @ts-expect-error no such status
void engine.listExecutions({ status: 'done' })
