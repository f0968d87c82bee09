// Contract, section 1: the schema that is published, what JavaScript checks and what it tells are one.

import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { ExecutionEngine, type ExecutionError, type ExecutionEvent, type PlanEvent } from '../../index.js'
import { exec, newEngine, shell } from './support.js'

type Schema = {
  $ref?: string
  type?: string
  const?: string
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: unknown
  oneOf?: Schema[]
  default?: unknown
  minimum?: number
  maximum?: number
}

const schema = createRequire(import.meta.url)('@escher-dbai/execution-engine/schema.json') as {
  $defs: Record<string, Schema>
}
const definition = (name: string): Schema => schema.$defs[name] ?? expect.fail(`there is no ${name}`)
const keysOf = ({ properties = {} }: Schema): string[] => Object.keys(properties)
const variantsOf = (name: string): Schema[] => definition(name).oneOf ?? []

const engine = new ExecutionEngine({ logOutput: false })

/** Why a request, or a plan, was refused. */
async function refusal(call: () => unknown): Promise<ExecutionError> {
  try {
    await call()
  } catch (error) {
    return error as ExecutionError
  }
  return expect.fail('accepted')
}

const ok = { command: { type: 'exec', program: 'true' } }
const plan = { strategy: { type: 'serial' }, commands: [] }

/** What each definition is checked by, and a value of it. */
const checked: [string, Schema, object, (value: object) => unknown][] = [
  ['a request', definition('ExecutionRequest'), ok, (value) => engine.run(value as never)],
  ['a plan of commands', definition('IndexedPlan'), plan, (value) => engine.runPlan(value as never)],
  ['a plan of named steps', definition('NamedPlan'), { steps: {} }, (value) => engine.runPlan(value as never)],
  [
    'a step',
    definition('PlanStep'),
    ok,
    (step) => engine.runPlan({ strategy: { type: 'serial' }, commands: [step as never] }),
  ],
  ['a named step', definition('NamedStep'), ok, (step) => engine.runPlan({ steps: { it: step as never } })],
  ['a filter', definition('ExecutionFilter'), {}, (value) => engine.listExecutions(value as never)],
  ['a configuration', definition('ExecutionConfig'), {}, (value) => new ExecutionEngine(value)],
  ['metadata', definition('ExecutionMetadata'), {}, (metadata) => engine.run({ ...ok, metadata } as never)],
  ...variantsOf('Command').map((variant): [string, Schema, object, (value: object) => unknown] => [
    `a command of type ${variant.properties?.type?.const}`,
    variant,
    {
      type: variant.properties?.type?.const,
      program: 'true',
      command: 'true',
      path: 'x',
      service: 's',
      operation: 'o',
    },
    (command) => engine.run({ command } as never),
  ]),
  ...variantsOf('ExecutionStrategy').map((variant): [string, Schema, object, (value: object) => unknown] => [
    `a strategy of type ${variant.properties?.type?.const}`,
    variant,
    { type: variant.properties?.type?.const, dependencies: {} },
    (strategy) => engine.runPlan({ ...plan, strategy } as never),
  ]),
]

test.each(checked)(
  'the keys of %s in the schema are those that are checked',
  async (_, { properties = {}, ...rest }, value, call) => {
    const own = Object.fromEntries(Object.entries(value).filter(([key]) => key in properties))
    const { message } = await refusal(() => call({ ...own, 'no such key': 1 }))
    const listed = /one of the keys ([^ ]+(?:, [^ ,]+)*), found/.exec(message)?.[1]?.split(', ')
    expect(listed?.sort()).toEqual(Object.keys(properties).sort())
    expect(rest.additionalProperties).toBe(false)
    for (const [key, property] of Object.entries(properties)) {
      for (const wrong of wrongValues(property, rest.required?.includes(key) ?? false)) {
        const { field } = await refusal(() => call({ ...own, [key]: wrong }))
        expect(field).toMatch(new RegExp(`(^|\\.)${key}$`))
      }
    }
  },
)

/** What a key of that schema must not have as its value. Of none a symbol is one, nor null. */
function wrongValues({ minimum, maximum = 0 }: Schema, isRequired: boolean): unknown[] {
  const numbers = minimum === undefined ? [] : [minimum - 1, maximum + 1, 1.5]
  return [Symbol('wrong'), null, ...(isRequired ? [undefined] : []), ...numbers]
}

test('the defaults of the schema are those of an engine', () => {
  const { config } = new ExecutionEngine()
  const { properties = {} } = definition('ExecutionConfig')
  const told = Object.entries(properties).map(([key, { default: value }]) => [key, value])
  // That of the directory is another on each machine.
  expect(Object.fromEntries(told)).toEqual({ ...config, logDir: undefined })
})

test('results, summaries and events have the keys that the schema tells', async () => {
  const engine = newEngine()
  const events: (ExecutionEvent | PlanEvent)[] = []
  const same = (value: object, described: Schema, leftOut: string[] = []) =>
    expect([...Object.keys(value), ...leftOut].sort()).toEqual(keysOf(described).sort())
  const commands = [shell('echo a; echo b >&2'), exec('false'), { ...exec('sleep', '60'), timeoutMs: 50 }]
  const onEvent = (event: ExecutionEvent | PlanEvent) => void events.push(event)
  const plan = await engine.runPlan({ strategy: { type: 'parallel' }, commands }, { onEvent })
  await engine.runPlan({ strategy: { type: 'serial' }, commands: [exec('false'), exec('true')] }, { onEvent })
  const narrow = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
  await Promise.all([narrow.run(exec('true')), narrow.run(exec('true'), { onEvent })])
  await engine.run(exec('sleep', '60'), { onEvent, signal: AbortSignal.timeout(50) })
  const retried = await engine.run({ ...exec('false'), retry: { attempts: 2, delayMs: 1 } }, { onEvent })
  same(retried.attempts[1]!, definition('ExecutionAttempt'))
  same(plan, definition('PlanExecutionResult'))
  same(plan.stats, definition('ExecutionStats'))
  for (const result of plan.results) same(result, definition('ExecutionResult'))
  for (const summary of await engine.listExecutions()) same(summary, definition('ExecutionSummary'))
  const variants = new Map(
    variantsOf('ExecutionEvent').map((variant) => [variant.properties?.eventType?.const, variant]),
  )
  for (const event of events) {
    const { $ref, properties } = variants.get(event.eventType) ?? {}
    const shared = $ref === undefined ? {} : definition($ref.replace('#/$defs/', '')).properties
    // Told of a line that is not finished, and of no other.
    const isLine = event.eventType === 'stdout' || event.eventType === 'stderr'
    same(event, { properties: { ...properties, ...shared } }, isLine ? ['unfinished'] : [])
  }
  expect([...new Set(events.map(({ eventType }) => eventType))].sort()).toEqual([...variants.keys()].sort())
})
