import { Type, type Static, type TSchema } from 'typebox'
import { Check } from 'typebox/value'

import {
  LogPage,
  PlaybookList,
  Run,
  RunList,
  Started,
  type CancelRequest,
  type SignIn,
  type StartRequest,
} from '../../../src/api.js'
import type { Line } from '../log/lines.js'
import { learnClock } from './clock.js'

const Refusal = Type.Object({
  error: Type.Object({ code: Type.String(), message: Type.String(), field: Type.Optional(Type.String()) }),
})

/** What the service said instead of an answer. `status` is 0 if it could not be reached. */
export class ServiceError extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** The path of what was wrong in the request, such as `parameters.region`. */
    readonly field?: string,
  ) {
    super(message)
    this.name = 'ServiceError'
  }
}

/** Sends a request. A refusal, and a service that cannot be reached, are a {@link ServiceError}. */
export async function send(path: string, init?: RequestInit): Promise<Response> {
  let response
  try {
    response = await fetch(path, init)
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ServiceError('The service cannot be reached', 0)
  }
  learnClock(response)
  if (response.ok) return response
  const told: unknown = await response.json().catch(() => undefined)
  if (Check(Refusal, told)) throw new ServiceError(told.error.message, response.status, told.error.field)
  throw new ServiceError(`The service answered ${String(response.status)}`, response.status)
}

async function ask<Schema extends TSchema>(schema: Schema, path: string, init?: RequestInit): Promise<Static<Schema>> {
  const response = await send(path, init)
  const answer: unknown = await response.json()
  if (Check(schema, answer)) return answer
  throw new ServiceError('The service gave an answer that this page does not understand: reload it', response.status)
}

const post = (body: CancelRequest | SignIn | StartRequest): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})

export interface RunQuery {
  readonly status: string
  readonly playbook: string
  readonly text: string
  readonly limit: number
}

const runPath = (id: string): string => `/api/runs/${encodeURIComponent(id)}`
const logPath = (id: string, step: string): string => `${runPath(id)}/steps/${encodeURIComponent(step)}/log`

export const playbooks = (): Promise<PlaybookList> => ask(PlaybookList, '/api/playbooks')

export const start = (request: StartRequest): Promise<Started> => ask(Started, '/api/runs', post(request))

export function runs(query: RunQuery, signal: AbortSignal): Promise<RunList> {
  const parameters = new URLSearchParams({ limit: String(query.limit) })
  if (query.status !== '') parameters.set('status', query.status)
  if (query.playbook !== '') parameters.set('playbook', query.playbook)
  if (query.text !== '') parameters.set('text', query.text)
  return ask(RunList, `/api/runs?${parameters.toString()}`, { signal })
}

export const run = (id: string): Promise<Run> => ask(Run, runPath(id))

export const eventsPath = (id: string): string => `${runPath(id)}/events`

/** A token that is none is refused with 401. */
export async function signIn(token: string): Promise<void> {
  await send('/login', post({ token }))
}

export async function cancel(id: string, reason: string): Promise<void> {
  await send(`${runPath(id)}/cancel`, post(reason === '' ? {} : { reason }))
}

/** Lines of a step by their numbers. */
export async function linesOf(id: string, step: string, from: number, limit: number): Promise<Line[]> {
  const page = await ask(LogPage, `${logPath(id, step)}?line=${String(from)}&limit=${String(limit)}`)
  return page.lines.map(({ line, stream }) => ({ text: line, stderr: stream === 'stderr' }))
}

/** A whole log as text, page by page. */
export async function* logOf(id: string, step: string): AsyncGenerator<string> {
  for (let from = 0; ;) {
    const page = await ask(LogPage, `${logPath(id, step)}?from=${String(from)}&limit=1000`)
    if (page.lines.length === 0) return
    yield page.lines.map(({ line }) => `${line}\n`).join('')
    if (page.ended) return
    from = page.next
  }
}
