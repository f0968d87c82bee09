import { checkPlan, checkRequest } from '@escher-dbai/execution-engine'
import type { ExecutionPlan } from '@escher-dbai/execution-engine'
import { refused } from '../errors'
import type { Names } from '../names'
import type { Fields, Submission } from '../redis/store'
import { digestOf, encodePlan, encodeRequest, isObject, metadataOf, notesOf, refuseSecrets, stepsOf } from './encode'
import { priorityOf, splitOf } from './submission'
import type { QueueOptions } from './submission'
import type { JobData, Policy, StepNote, WaitingExecution, WaitingPlan, WireRequest } from './wire'

/** What is submitted: checked, and as it is sent. */
export interface Prepared<Data extends JobData = JobData> {
  readonly data: Data
  /** The set of labels, if workers have to know that somebody asks for it. */
  readonly labels: string | undefined
  readonly priority: number
  readonly delayMs: number
}

/** What the queue says of all that is submitted to it. */
export interface Limits {
  readonly retentionSecs: number
  readonly maxFinished: number
}

const policyOf = ({ loss }: QueueOptions, { retentionSecs, maxFinished }: Limits): Policy => ({
  loss,
  keep: retentionSecs,
  most: maxFinished,
})

/** A request that was checked, ready to be sent. */
export function prepareRequest(given: unknown, names: Names, limits: Limits): Prepared<WaitingExecution> {
  const { rest, options } = splitOf(given, 'request')
  const { id, command, secretFields } = checkRequest(rest)
  refuseSecrets(secretFields, options.allowSecretValues)
  const request: WireRequest = { ...encodeRequest(rest), id }
  return executionOf({ request, command, planId: null, step: null }, options, names, policyOf(options, limits))
}

/** A step of a plan whose steps are spread, ready to be sent. */
export function prepareStep(
  plan: WaitingPlan,
  given: object,
  { id, step }: Pick<StepNote, 'id' | 'step'>,
  names: Names,
): Prepared<WaitingExecution> {
  const { rest } = splitOf(given, 'request')
  const { command, secretFields } = checkRequest(rest)
  refuseSecrets(secretFields, plan.options.allowSecretValues)
  const request: WireRequest = { ...encodeRequest(rest), id }
  // The plan has waited for its delay already.
  const options = { ...plan.options, delayMs: 0 }
  const digest = stepDigestOf(plan, id)
  return executionOf({ request, command, planId: plan.id, step, digest }, options, names, plan.policy)
}

/** The same for whoever submits the steps of a plan. */
const stepDigestOf = ({ digest }: WaitingPlan, id: string): string => `${digest} ${id}`

function executionOf(
  about: Pick<WaitingExecution, 'command' | 'planId' | 'step'> & {
    readonly request: WireRequest
    readonly digest?: string
  },
  options: QueueOptions,
  names: Names,
  policy: Policy,
): Prepared<WaitingExecution> {
  const { request, command, planId, step } = about
  const priority = priorityOf(request.priority)
  const queue = names.queueOf(options.labels)
  const metadata = metadataOf(request.metadata)
  const id = request.id ?? ''
  const digest = about.digest ?? digestOf([request, options])
  const data: WaitingExecution = {
    kind: 'execution',
    id,
    digest,
    policy,
    command,
    metadata,
    queue,
    request,
    planId,
    step,
  }
  return { data, labels: options.labels.join(','), priority, delayMs: options.delayMs }
}

export interface PreparedPlan extends Prepared<WaitingPlan> {
  /** The plan with its functions, which this process has to drive. */
  readonly toDrive?: ExecutionPlan | undefined
}

/** A plan that was checked, ready to be sent. */
export function preparePlan(given: unknown, names: Names, limits: Limits, spread: boolean): PreparedPlan {
  const { rest, options } = splitOf(given, 'plan')
  const checked = checkPlan(rest)
  refuseSecrets(checked.secretFields, options.allowSecretValues)
  const hasFunctions = checked.steps.some(({ command }) => command === null)
  if (hasFunctions && !spread) refuseFunctions(rest)
  const plan = encodePlan(rest, checked)
  for (const [, step] of stepsOf(plan)) priorityOf(step.priority)
  const { id } = checked
  const data: WaitingPlan = {
    kind: 'plan',
    id,
    digest: digestOf([plan, options, spread]),
    policy: policyOf(options, limits),
    command: '',
    metadata: metadataOf(plan.metadata),
    queue: hasFunctions ? '' : spread ? names.plans : names.queueOf(options.labels),
    plan,
    steps: notesOf(plan, checked),
    options,
    spread,
  }
  const { delayMs } = options
  const prepared = { data, labels: options.labels.join(','), priority: priorityOf(0), delayMs }
  if (!hasFunctions) return prepared
  if (delayMs > 0) throw refused('delayMs', '0 for a plan with functions, which this process drives', String(delayMs))
  // What was checked, with its functions, is a plan.
  return { ...prepared, toDrive: { ...rest, id } as unknown as ExecutionPlan }
}

function refuseFunctions({ steps, commands }: Readonly<Record<string, unknown>>): void {
  const entries = isObject(steps) ? Object.entries(steps) : Array.isArray(commands) ? [...commands.entries()] : []
  for (const [key, step] of entries) {
    if (!isObject(step) || step['request'] === undefined) continue
    const field = steps === undefined ? `commands[${key}].request` : `steps.${key}.request`
    throw refused(field, 'a request, as a function cannot be sent (placement "spread" keeps it here)', 'a function')
  }
}

/** What is told of an execution or a plan until it has ended, as it is stored. */
function fieldsOf(data: JobData): Fields {
  const { keep, most, loss } = data.policy
  const common = { queue: data.queue, command: data.command, metadata: JSON.stringify(data.metadata), loss }
  const kept = { ...common, keep: String(keep), most: String(most), kind: data.kind }
  if (data.kind === 'plan') {
    const description = String(data.plan['description'] ?? '')
    return { ...kept, description, steps: data.steps.map(({ id }) => id).join(',') }
  }
  if (data.planId === null) return kept
  return { ...kept, planId: data.planId, step: JSON.stringify(data.step), part: '1' }
}

/** What is submitted to the store: the execution or plan, and the steps of that, as they are known before their turn has come. */
export const submissionsOf = (data: JobData, names: Names): [own: Submission, steps: readonly Submission[]] => [
  { id: data.id, digest: data.digest, fields: fieldsOf(data) },
  data.kind === 'execution'
    ? []
    : data.steps.map((note) => ({
        id: note.id,
        digest: stepDigestOf(data, note.id),
        fields: fieldsOfStep(data, note, names),
      })),
]

function fieldsOfStep(data: WaitingPlan, { step, command, metadata }: StepNote, names: Names): Fields {
  const { keep, most, loss } = data.policy
  return {
    kind: 'execution',
    command,
    metadata: JSON.stringify(metadata),
    planId: data.id,
    step: JSON.stringify(step),
    part: '1',
    keep: String(keep),
    most: String(most),
    // Its plan's worker runs it, or it waits in a queue of its own.
    ...(data.spread ? { queue: names.queueOf(data.options.labels), loss } : { in: data.id }),
  }
}
