// What a playbook is. Its schema is data, so that editors know it too: `playbook.schema.json` is written from here. All
// that a step has in common with a request of the engine refers to the schema that the engine publishes.

import type { ExecutionRequest, NamedPlan, NamedStep } from '@escher-dbai/execution-engine'
import Type, { type Static } from 'typebox'
import { ParameterType } from '../api.js'

/** Where the schema of the engine is, seen from `playbook.schema.json`. */
export const engineSchemaId = 'node_modules/@escher-dbai/execution-engine/schema.json'

const ofEngine = <Value>(path: string, description?: string): Type.TUnsafe<Value> =>
  Type.Unsafe<Value>({ $ref: `${engineSchemaId}#/$defs/${path}`, ...(description !== undefined && { description }) })

const closed = { additionalProperties: false } as const

const Name = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$' })
const VariableName = Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' })

/** `{ "param": "region" }` or `{ "output": "list.names" }`: the value itself. */
const Reference = Type.Object(
  {
    param: Type.Optional(Type.String({ description: 'The name of a parameter.' })),
    output: Type.Optional(Type.String({ description: 'STEP.OUTPUT: what an earlier step has printed.' })),
  },
  { ...closed, minProperties: 1, maxProperties: 1 },
)
export type Reference = Static<typeof Reference>

/** A text, in which `${region}` is a parameter and `${list.count}` an output, or a reference alone. */
export type Text = string | Reference
const Text = Type.Unsafe<Text>({ ...Reference, type: ['string', 'object'] })

const Args = Type.Optional(Type.Array(Text, { description: 'Each is passed as it is: no shell reads it.' }))

const Command = Type.Unsafe<
  | { type: 'exec'; program: string; args?: Text[] }
  | { type: 'shell'; command: string; shell?: string }
  | { type: 'script'; path: string; interpreter?: string; args?: Text[] }
  | { type: 'aws_cli'; service: string; operation: string; args?: Text[]; profile?: Text; region?: Text }
>({
  type: 'object',
  required: ['type'],
  discriminator: { propertyName: 'type' },
  oneOf: [
    Type.Object({ type: Type.Literal('exec'), program: Type.String({ minLength: 1 }), args: Args }, closed),
    Type.Object(
      {
        type: Type.Literal('shell'),
        command: Type.String({
          minLength: 1,
          description: 'A parameter gets in here as a variable of the step alone, in double quotes: "$REGION".',
        }),
        shell: Type.Optional(Type.String({ minLength: 1 })),
      },
      closed,
    ),
    Type.Object(
      {
        type: Type.Literal('script'),
        path: Type.String({ minLength: 1 }),
        interpreter: Type.Optional(Type.String({ minLength: 1 })),
        args: Args,
      },
      closed,
    ),
    Type.Object(
      {
        type: Type.Literal('aws_cli'),
        service: Type.String({ minLength: 1 }),
        operation: Type.String({ minLength: 1 }),
        args: Args,
        profile: Type.Optional(Text),
        region: Type.Optional(Text),
      },
      closed,
    ),
  ],
})
export type Command = Static<typeof Command>

const request = <Key extends keyof ExecutionRequest>(
  key: Key,
): Type.TOptional<Type.TUnsafe<NonNullable<ExecutionRequest[Key]>>> =>
  Type.Optional(ofEngine<NonNullable<ExecutionRequest[Key]>>(`ExecutionRequest/properties/${key}`))

const step = <Key extends keyof NamedStep>(key: Key): Type.TOptional<Type.TUnsafe<NonNullable<NamedStep[Key]>>> =>
  Type.Optional(ofEngine<NonNullable<NamedStep[Key]>>(`NamedStep/properties/${key}`))

const plan = <Key extends keyof NamedPlan>(key: Key): Type.TOptional<Type.TUnsafe<NonNullable<NamedPlan[Key]>>> =>
  Type.Optional(ofEngine<NonNullable<NamedPlan[Key]>>(`NamedPlan/properties/${key}`))

const PlaybookStep = Type.Object(
  {
    command: Command,
    env: Type.Optional(Type.Record(VariableName, Text, closed)),
    stdin: Type.Optional(Text),
    workingDir: Type.Optional(
      Type.String({ minLength: 1, description: 'Relative to the directory of the playbook. Default: that directory.' }),
    ),
    outputs: Type.Optional(
      Type.Record(Name, Type.String({ minLength: 1 }), {
        ...closed,
        description: 'By name: a path (JMESPath) into what the step prints to standard output, which is JSON.',
      }),
    ),
    dependsOn: step('dependsOn'),
    when: step('when'),
    allowFailure: step('allowFailure'),
    retry: request('retry'),
    timeoutMs: request('timeoutMs'),
    idleTimeoutMs: request('idleTimeoutMs'),
    terminationGraceMs: request('terminationGraceMs'),
    stopSignal: request('stopSignal'),
    successExitCodes: request('successExitCodes'),
    inheritEnv: request('inheritEnv'),
    color: request('color'),
    priority: request('priority'),
  },
  closed,
)
export type PlaybookStep = Static<typeof PlaybookStep>

const Parameter = Type.Object(
  {
    type: ParameterType,
    description: Type.Optional(Type.String()),
    default: Type.Optional(Type.Unknown()),
    required: Type.Optional(Type.Boolean({ description: 'Default: true where there is no default.' })),
    secret: Type.Optional(
      Type.Boolean({ description: 'It goes into variables and the standard input alone, and is never printed.' }),
    ),
    enum: Type.Optional(Type.Array(Type.Unknown(), { minItems: 1 })),
    pattern: Type.Optional(Type.String({ format: 'regex' })),
  },
  closed,
)
export type Parameter = Static<typeof Parameter>

export const Playbook = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    name: Name,
    title: Type.Optional(Type.String()),
    description: Type.Optional(Type.String()),
    parameters: Type.Optional(Type.Record(Name, Parameter, closed)),
    steps: Type.Record(Name, PlaybookStep, { ...closed, minProperties: 1 }),
    maxConcurrency: plan('maxConcurrency'),
    stopOnError: plan('stopOnError'),
    timeoutMs: plan('timeoutMs'),
  },
  { ...closed, $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'playbook' },
)
/** What stands in a file. */
export type Playbook = Static<typeof Playbook>
