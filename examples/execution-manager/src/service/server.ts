// The HTTP side: each route a few lines that hand over to the rest.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ExecutionError } from '@escher-dbai/execution-engine'
import fastifyStatic from '@fastify/static'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import Type from 'typebox'
import {
  type ApiError,
  CancelRequest,
  LogQuery,
  type PlaybookList,
  type Run,
  RunFilter,
  type RunList,
  StartRequest,
  type Started,
} from '../api.js'
import { loadLibrary, playbookInfo } from '../playbook/load.js'
import { ParameterError } from '../playbook/parameters.js'
import { feed, type Told } from '../runs/feed.js'
import { RunError, type Runs } from '../runs/runs.js'
import { findStep, followLog, logPage } from './logs.js'
import type { Metrics } from './metrics.js'
import { guard, Refusal } from './security.js'
import { lastEventId, sendEvents, type ServerEvent } from './sse.js'

export interface ServerOptions {
  readonly runs: Runs
  readonly metrics: Metrics
  /** The directory of the playbooks. */
  readonly playbooks: string
  readonly token: string | undefined
}

const page = fileURLToPath(new URL('../../dist/page', import.meta.url))

const RunParams = Type.Object({ id: Type.String() })
const StepParams = Type.Object({ id: Type.String(), step: Type.String() })
const FollowQuery = Type.Object({ from: Type.Optional(Type.Integer({ minimum: 0 })) })

const runStatus = { NOT_FOUND: 404, ALREADY_FINISHED: 409, ELSEWHERE: 409 } as const

const engineStatus = (code: ExecutionError['code']): number => {
  if (code === 'VALIDATION') return 400
  if (code === 'NOT_FOUND') return 404
  if (code === 'ALREADY_FINISHED' || code === 'DUPLICATE_ID') return 409
  return code === 'CONCURRENCY_LIMIT_REACHED' || code === 'SHUT_DOWN' ? 503 : 500
}

function refusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof RunError) return new Refusal(runStatus[error.code], error.code, error.message)
  if (error instanceof ParameterError) return new Refusal(400, 'VALIDATION', error.message, error.field)
  if (error instanceof ExecutionError) {
    return new Refusal(engineStatus(error.code), error.code, error.message, error.field)
  }
  return new Refusal(500, 'INTERNAL', error instanceof Error ? error.message : String(error))
}

function httpRefusal(error: FastifyError): Refusal {
  const validation = error.validation?.[0]
  if (validation !== undefined) {
    const field = [error.validationContext, ...validation.instancePath.split('/').slice(1)].join('.')
    return new Refusal(400, 'VALIDATION', `${field}: ${validation.message ?? error.message}`, field)
  }
  return error.statusCode === undefined || error.statusCode >= 500
    ? refusal(error)
    : new Refusal(error.statusCode, 'VALIDATION', error.message)
}

const bodyOf = ({ code, message, field }: Refusal): ApiError => ({
  error: { code, message, ...(field !== undefined && { field }) },
})

async function* asServerEvents(told: AsyncIterable<Told>): AsyncGenerator<ServerEvent> {
  for await (const { id, event } of told) yield { id, event: event.event, data: event.data }
}

function routes(server: FastifyInstance, { runs, metrics, playbooks }: ServerOptions): void {
  const api = server.withTypeProvider<TypeBoxTypeProvider>()

  api.get('/api/playbooks', async (): Promise<PlaybookList> => {
    const library = await loadLibrary(playbooks)
    return {
      playbooks: [...library.playbooks.values()].map(({ playbook }) => playbookInfo(playbook)),
      problems: [...library.problems],
    }
  })

  api.post('/api/runs', { schema: { body: StartRequest } }, async ({ body }, reply): Promise<Started> => {
    const { playbooks: known, problems } = await loadLibrary(playbooks)
    const loaded = known.get(body.playbook)
    if (loaded === undefined) {
      const others = [`there is ${[...known.keys()].join(', ')}`, ...problems].join('\n')
      throw new Refusal(404, 'NOT_FOUND', `there is no playbook ${body.playbook}: ${others}`, 'playbook')
    }
    const id = await runs.start(loaded, body.parameters ?? {})
    reply.code(201)
    return { id }
  })

  api.get('/api/runs', { schema: { querystring: RunFilter } }, ({ query }): RunList => ({ runs: runs.list(query) }))

  api.get('/api/runs/:id', { schema: { params: RunParams } }, ({ params }): Run => runs.find(params.id).run)

  api.post(
    '/api/runs/:id/cancel',
    { schema: { params: RunParams, body: Type.Union([CancelRequest, Type.Null()]) } },
    async ({ params, body }, reply): Promise<Started> => {
      await runs.cancel(params.id, body?.reason)
      reply.code(202)
      return { id: params.id }
    },
  )

  api.get('/api/runs/:id/events', { schema: { params: RunParams } }, async (request, reply) => {
    const watched = runs.find(request.params.id)
    const lastId = lastEventId(request)
    await sendEvents(reply, (signal) => asServerEvents(feed(runs.engine, watched, signal, { lastId })))
  })

  api.get(
    '/api/runs/:id/steps/:step/log',
    { schema: { params: StepParams, querystring: LogQuery } },
    async ({ params, query }) => {
      return logPage(runs.engine, findStep(runs.find(params.id), params.step), query)
    },
  )

  api.get(
    '/api/runs/:id/steps/:step/log/follow',
    { schema: { params: StepParams, querystring: FollowQuery } },
    async (request, reply) => {
      const watched = runs.find(request.params.id)
      const { name } = findStep(watched, request.params.step)
      const last = Number(lastEventId(request) ?? request.query.from ?? 0)
      if (!Number.isSafeInteger(last)) throw new Refusal(400, 'VALIDATION', 'expected an offset as Last-Event-ID')
      await sendEvents(reply, (signal) => followLog(runs.engine, watched, name, last, signal))
    },
  )

  api.get('/healthz', () => ({ status: 'ok', running: runs.running }))

  api.get('/metrics', async (_request, reply) => {
    reply.header('content-type', metrics.contentType)
    return metrics.text()
  })
}

export async function buildServer(options: ServerOptions): Promise<FastifyInstance> {
  const server = fastify({ forceCloseConnections: true, routerOptions: { maxParamLength: 200 } })
  server.setValidatorCompiler(TypeBoxValidatorCompiler)
  // Only JSON is read: a form of another page cannot send that.
  server.removeContentTypeParser('text/plain')
  server.setErrorHandler<FastifyError>((error, _request, reply) => {
    const found =
      'validation' in error || ('code' in error && error.code.startsWith('FST_')) ? httpRefusal(error) : refusal(error)
    if (found.statusCode >= 500) process.emitWarning(found.message, 'ExecutionManager')
    return reply.code(found.statusCode).send(bodyOf(found))
  })
  server.setNotFoundHandler((request, reply) => {
    const found = new Refusal(404, 'NOT_FOUND', `there is nothing at ${request.url.split('?', 1)[0] ?? ''}`)
    return reply.code(404).send(bodyOf(found))
  })
  guard(server, options.token)
  routes(server, options)
  if (existsSync(page)) await server.register(fastifyStatic, { root: page })
  return server
}
