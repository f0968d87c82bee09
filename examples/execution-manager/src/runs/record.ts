// What becomes of a run when the engine tells of something.

import { randomUUID } from 'node:crypto'
import type { ExecutionEvent, ExecutionResult, PlanEvent, PlanExecutionResult } from '@escher-dbai/execution-engine'
import type { Run, RunStatus, Step } from '../api.js'
import { readOutputs } from '../playbook/outputs.js'
import type { Playbook, PlaybookStep } from '../playbook/schema.js'
import type { Recorded } from './history.js'

const newStep = (name: string, { dependsOn = [], when = 'success' }: Partial<PlaybookStep>): Step => ({
  name,
  executionId: randomUUID(),
  status: 'waiting',
  dependsOn: [...dependsOn],
  when,
  startedAt: null,
  durationMs: null,
  queuedMs: null,
  exitCode: null,
  signal: null,
  error: null,
  errorCode: null,
  command: null,
  attempts: [],
  attemptStartedAt: null,
  retrying: null,
  outputs: null,
  lines: 0,
  truncated: false,
})

/** A run that begins now. It and its steps have the ids that the engine is to give them. */
export function newRecord(playbook: Playbook, parameters: Run['parameters']): Recorded {
  return {
    run: {
      id: randomUUID(),
      playbook: playbook.name,
      description: playbook.description ?? '',
      status: 'pending',
      startedAt: new Date().toISOString(),
      endedAt: null,
      durationMs: null,
      error: null,
      parameters,
      steps: Object.entries(playbook.steps).map(([name, step]) => newStep(name, step)),
    },
    version: 1,
    changes: {},
    starts: {},
  }
}

/** The names under which `version` counts changes of the run itself. */
export const runItself = ''

function withRun(recorded: Recorded, changed: Partial<Run>): Recorded {
  const version = recorded.version + 1
  return {
    ...recorded,
    run: { ...recorded.run, ...changed },
    version,
    changes: { ...recorded.changes, [runItself]: version },
  }
}

export function withStep(recorded: Recorded, name: string, changed: Partial<Step>): Recorded {
  const version = recorded.version + 1
  const steps = recorded.run.steps.map((step) => (step.name === name ? { ...step, ...changed } : step))
  return { ...recorded, run: { ...recorded.run, steps }, version, changes: { ...recorded.changes, [name]: version } }
}

/** A step that has ended as it was when it began to run. */
export const asStarted = (step: Step): Step => ({
  ...newStep(step.name, {}),
  dependsOn: step.dependsOn,
  when: step.when,
  executionId: step.executionId,
  status: 'running',
  startedAt: step.startedAt,
  attemptStartedAt: step.startedAt,
  command: step.command,
})

/** Outputs that could not be read are no failure of the step, but of whoever needs them. */
function outputsOf(paths: Readonly<Record<string, string>> | undefined, result: ExecutionResult): Partial<Step> {
  if (!result.success || paths === undefined) return {}
  try {
    return { outputs: readOutputs(paths, result) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

/** What is true of a step only while it runs. */
const ofRunning = { attemptStartedAt: null, retrying: null } as const

const endedStep = (result: ExecutionResult, paths: Readonly<Record<string, string>> | undefined): Partial<Step> => ({
  ...ofRunning,
  status: result.status,
  startedAt: result.startedAt,
  durationMs: result.durationMs,
  queuedMs: result.queuedMs,
  exitCode: result.exitCode,
  signal: result.signal,
  error: result.error,
  errorCode: result.errorCode,
  command: result.command === '' ? null : result.command,
  attempts: [...result.attempts],
  truncated: result.truncated,
  ...outputsOf(paths, result),
})

/** Why a run did not complete: what went wrong first. */
function planError(result: PlanExecutionResult): string | null {
  if (result.success) return null
  const culprit = result.results.find(({ status }) => status === result.status)
  if (culprit === undefined) return null
  return `${String(culprit.step)}: ${culprit.cancelReason ?? culprit.error ?? culprit.status}`
}

const runStatus = (status: PlanExecutionResult['status']): RunStatus => (status === 'skipped' ? 'failed' : status)

function endedRun(recorded: Recorded, result: PlanExecutionResult, timestamp: string): Recorded {
  return withRun(recorded, {
    status: runStatus(result.status),
    endedAt: timestamp,
    durationMs: result.totalDurationMs,
    error: planError(result),
  })
}

/** The record after an event. That of a line changes nothing: lines are in the log. */
export function withEvent(recorded: Recorded, event: ExecutionEvent | PlanEvent, playbook: Playbook): Recorded {
  if (event.eventType === 'plan_completed') return endedRun(recorded, event.result, event.timestamp)
  if (event.eventType === 'progress' || typeof event.step !== 'string') return recorded
  const name = event.step
  const step = recorded.run.steps.find((one) => one.name === name)
  switch (event.eventType) {
    case 'stdout':
    case 'stderr':
      return recorded
    case 'pending':
      return withStep(recorded, name, { status: 'pending' })
    case 'started': {
      const running = recorded.run.status === 'pending' ? withRun(recorded, { status: 'running' }) : recorded
      const next = withStep(running, name, {
        status: 'running',
        command: event.command,
        startedAt: step?.startedAt ?? event.timestamp,
        attemptStartedAt: event.timestamp,
        retrying: null,
      })
      return { ...next, starts: { [name]: next.version, ...next.starts } }
    }
    case 'retrying': {
      const at = new Date(Date.parse(event.timestamp) + event.delayMs).toISOString()
      return withStep(recorded, name, {
        attempts: [...(step?.attempts ?? []), event.ended],
        attemptStartedAt: null,
        retrying: { attempt: event.attempt, at },
      })
    }
    default:
      return withStep(recorded, name, endedStep(event.result, playbook.steps[name]?.outputs))
  }
}

export const isOver = (status: Run['status'] | Step['status']): boolean =>
  !['waiting', 'pending', 'running'].includes(status)

/** Whether a step has a log, as far as it has printed anything. */
export const hasBegun = (status: Step['status']): boolean => !['waiting', 'pending', 'skipped'].includes(status)

/** The record of a run whose program is dead. What it ran is dead as well: the engine sees to that. */
export function interrupted(recorded: Recorded): Recorded {
  let next = recorded
  for (const step of recorded.run.steps) {
    if (isOver(step.status)) continue
    next = withStep(
      next,
      step.name,
      step.startedAt === null
        ? { status: 'skipped', error: 'skipped: the run was interrupted' }
        : { ...ofRunning, status: 'interrupted' },
    )
  }
  return withRun(next, { status: 'interrupted', error: 'the program that ran it was killed' })
}
