// What the service and its clients say to each other. The schemas are what the service checks and the history is read
// with; the types are what the page and the terminal compile against.

import Type, { type Static } from 'typebox'

const Nullable = <Schema extends Type.TSchema>(schema: Schema): Type.TUnion<[Schema, Type.TNull]> =>
  Type.Union([schema, Type.Null()])

/** Where a run stands. `interrupted`: the program that ran it was killed; nothing of it is left running. */
export const RunStatus = Type.Enum(['pending', 'running', 'completed', 'failed', 'cancelled', 'timeout', 'interrupted'])
export type RunStatus = Static<typeof RunStatus>

/** Where a step stands: as an execution of the engine, or `waiting` for others, or `interrupted` as the run. */
export const StepStatus = Type.Enum([
  'waiting',
  'pending',
  'running',
  'completed',
  'failed',
  'cancelled',
  'timeout',
  'skipped',
  'interrupted',
])
export type StepStatus = Static<typeof StepStatus>

export const When = Type.Enum(['success', 'failure', 'always'])

export const Attempt = Type.Object({
  exitCode: Nullable(Type.Number()),
  signal: Nullable(Type.String()),
  startedAt: Nullable(Type.String()),
  durationMs: Type.Number(),
  error: Nullable(Type.String()),
})
export type Attempt = Static<typeof Attempt>

/** The attempt with the number `attempt`, from 2 on, follows. */
export const Retrying = Type.Object({
  attempt: Type.Number(),
  /** ISO 8601, UTC: when its delay is over, and it waits only for its turn. */
  at: Type.String(),
})
export type Retrying = Static<typeof Retrying>

export const Step = Type.Object({
  name: Type.String(),
  /** The id of its execution. */
  executionId: Type.String(),
  status: StepStatus,
  dependsOn: Type.Array(Type.String()),
  when: When,
  /** ISO 8601, UTC; of the first attempt. */
  startedAt: Nullable(Type.String()),
  /** Milliseconds; `null` until it has ended. */
  durationMs: Nullable(Type.Number()),
  /** Milliseconds that it waited for its start; `null` until it has ended. */
  queuedMs: Nullable(Type.Number()),
  exitCode: Nullable(Type.Number()),
  signal: Nullable(Type.String()),
  error: Nullable(Type.String()),
  /** A code of the engine, such as `SPAWN_FAILED`. */
  errorCode: Nullable(Type.String()),
  /** For display, without secrets; `null` until it is known. */
  command: Nullable(Type.String()),
  /** Of a step that is tried again: the attempts that have ended. */
  attempts: Type.Array(Attempt),
  /** When the attempt began that runs now; `null` while none does. */
  attemptStartedAt: Nullable(Type.String()),
  /** What it waits for after an attempt that did not succeed, or `null`. */
  retrying: Nullable(Retrying),
  /** What was read from its output; `null` until it has completed. */
  outputs: Nullable(Type.Record(Type.String(), Type.Unknown())),
  /** How many entries its log has so far. */
  lines: Type.Number(),
  /** Whether the result of the step lacks something that was printed. */
  truncated: Type.Boolean(),
})
export type Step = Static<typeof Step>

const summary = {
  id: Type.String(),
  /** The name of the playbook. */
  playbook: Type.String(),
  status: RunStatus,
  startedAt: Type.String(),
  endedAt: Nullable(Type.String()),
  /** Milliseconds; `null` until it has ended. */
  durationMs: Nullable(Type.Number()),
  error: Nullable(Type.String()),
}

export const RunSummary = Type.Object(summary)
export type RunSummary = Static<typeof RunSummary>

export const Run = Type.Object({
  ...summary,
  description: Type.String(),
  /** A secret is `***`. */
  parameters: Type.Record(Type.String(), Type.Unknown()),
  steps: Type.Array(Step),
})
export type Run = Static<typeof Run>

export const ParameterType = Type.Enum(['string', 'number', 'integer', 'boolean', 'list'])
export type ParameterType = Static<typeof ParameterType>

export const ParameterInfo = Type.Object({
  name: Type.String(),
  type: ParameterType,
  default: Type.Optional(Type.Unknown()),
  required: Type.Boolean(),
  secret: Type.Boolean(),
  description: Type.Optional(Type.String()),
  enum: Type.Optional(Type.Array(Type.Unknown())),
})
export type ParameterInfo = Static<typeof ParameterInfo>

export const StepInfo = Type.Object({
  name: Type.String(),
  type: Type.Enum(['exec', 'shell', 'script', 'aws_cli']),
  dependsOn: Type.Array(Type.String()),
  when: When,
  allowFailure: Type.Boolean(),
})
export type StepInfo = Static<typeof StepInfo>

export const PlaybookInfo = Type.Object({
  name: Type.String(),
  title: Type.Optional(Type.String()),
  description: Type.String(),
  parameters: Type.Array(ParameterInfo),
  steps: Type.Array(StepInfo),
})
export type PlaybookInfo = Static<typeof PlaybookInfo>

/** GET /api/playbooks. `problems` are of files that are none. */
export const PlaybookList = Type.Object({ playbooks: Type.Array(PlaybookInfo), problems: Type.Array(Type.String()) })
export type PlaybookList = Static<typeof PlaybookList>

/** POST /login: whoever has the token is given a cookie. */
export const SignIn = Type.Object({ token: Type.String() }, { additionalProperties: false })
export type SignIn = Static<typeof SignIn>

/** POST /api/runs */
export const StartRequest = Type.Object(
  { playbook: Type.String(), parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  { additionalProperties: false },
)
export type StartRequest = Static<typeof StartRequest>

export const Started = Type.Object({ id: Type.String() })
export type Started = Static<typeof Started>

/** GET /api/runs. `text` is looked for in name, description, parameters and error. Default of `limit`: 100. */
export const RunFilter = Type.Object(
  {
    status: Type.Optional(RunStatus),
    playbook: Type.Optional(Type.String()),
    text: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  },
  { additionalProperties: false },
)
export type RunFilter = Static<typeof RunFilter>

export const RunList = Type.Object({ runs: Type.Array(RunSummary) })
export type RunList = Static<typeof RunList>

/** POST /api/runs/:id/cancel */
export const CancelRequest = Type.Object({ reason: Type.Optional(Type.String()) }, { additionalProperties: false })
export type CancelRequest = Static<typeof CancelRequest>

export const Stream = Type.Enum(['stdout', 'stderr'])
export type Stream = Static<typeof Stream>

/** An entry of a log: a line, or a piece of a very long one. */
export const Entry = Type.Object({
  stream: Stream,
  line: Type.String(),
  /** ISO 8601, UTC. */
  timestamp: Type.String(),
  /** What to pass as `from` to go on after it. */
  offset: Type.Number(),
})
export type Entry = Static<typeof Entry>

/**
 * GET /api/runs/:id/steps/:step/log: at most `limit` entries (1000), from the offset `from` on, or from the entry that
 * has the index `line`.
 */
export const LogQuery = Type.Object(
  {
    from: Type.Optional(Type.Integer({ minimum: 0 })),
    line: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  },
  { additionalProperties: false },
)
export type LogQuery = Static<typeof LogQuery>

export const LogPage = Type.Object({
  lines: Type.Array(Entry),
  /** What to pass as `from` for the next page. */
  next: Type.Number(),
  /** Whether nothing follows. */
  ended: Type.Boolean(),
  /** The index of the first entry; `null` where it was asked for by an offset of which nobody knows the index. */
  first: Nullable(Type.Number()),
})
export type LogPage = Static<typeof LogPage>

/** Some entries of the log of a step, all of one stream. `from` is the index of the first one in the log. */
export const LinesEvent = Type.Object({
  step: Type.String(),
  stream: Stream,
  lines: Type.Array(Type.String()),
  from: Type.Number(),
})
export type LinesEvent = Static<typeof LinesEvent>

/** Entries `from` to before `to` of a step are left out here: they are in its log. */
export const GapEvent = Type.Object({ step: Type.String(), from: Type.Number(), to: Type.Number() })
export type GapEvent = Static<typeof GapEvent>

/** What GET /api/runs/:id/events tells: the name of an event, and its data. */
export type RunEvent =
  | { readonly event: 'run'; readonly data: Run }
  | { readonly event: 'step'; readonly data: Step }
  | { readonly event: 'lines'; readonly data: LinesEvent }
  | { readonly event: 'gap'; readonly data: GapEvent }
  | { readonly event: 'end'; readonly data: Run }

/** What every refusal says. `field` is the path of the culprit, such as `parameters.region`. */
export interface ApiError {
  readonly error: { readonly code: string; readonly message: string; readonly field?: string }
}
