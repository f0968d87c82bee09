// A service that plays what a test tells it: for states that a real run has only by chance, or not for long.

import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Entry, PlaybookInfo, Run, RunEvent, RunSummary, Step } from '../../src/api.js'

const PAGE = fileURLToPath(new URL('../../dist/page/', import.meta.url))
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}

/** The lines of a step. Those of a very long log are made when they are asked for. */
export interface Log {
  readonly length: number
  slice(from: number, to: number): readonly string[]
}

export interface Script {
  readonly playbooks: readonly PlaybookInfo[]
  /** Newest first. */
  readonly runs: readonly RunSummary[]
  readonly run: Run
  /** What was printed, by step. A line that begins with `!` was printed to stderr. */
  readonly logs: Readonly<Record<string, Log>>
  /** What is told to who connects anew. */
  readonly events: readonly RunEvent[]
}

export interface Stage {
  readonly url: string
  /** Tells all that are connected. */
  tell(event: RunEvent): void
  /** Breaks all connections. */
  drop(): void
  /** Answers everything with an error from now on, or no longer. */
  break(broken: boolean): void
  /** Which requests were made, but for those of the page's own files. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

/** @param date is the one of its clock; it has none if that is not given. */
export async function startStage(script: Script, date?: Date): Promise<Stage> {
  const told: RunEvent[] = [...script.events]
  const open = new Set<ServerResponse>()
  const requests: string[] = []
  let broken = false

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.sendDate = date !== undefined
    if (date !== undefined) response.setHeader('date', date.toUTCString())
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    if (!pathname.startsWith('/api/')) {
      await file(pathname, response)
      return
    }
    requests.push(`${request.method ?? ''} ${pathname}`)
    if (broken) {
      json(response, 503, { error: { code: 'UNAVAILABLE', message: 'The service is being restarted' } })
    } else if (pathname === '/api/playbooks') json(response, 200, { playbooks: script.playbooks, problems: [] })
    else if (pathname === '/api/runs') json(response, 200, { runs: filtered(script.runs, searchParams) })
    else if (pathname.endsWith('/events')) events(request, response)
    else if (pathname.endsWith('/log')) json(response, 200, page(script, pathname, searchParams))
    else json(response, 404, { error: { code: 'NOT_FOUND', message: 'There is nothing here' } })
  }
  const events = (request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const after = Number(request.headers['last-event-id'] ?? '-1')
    for (const [id, event] of told.entries()) if (id > after) response.write(frame(id, event))
    if (told.at(-1)?.event === 'end') response.end()
    else open.add(response)
    response.on('close', () => open.delete(response))
  }

  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${String(address.port)}`,
    requests,
    tell(event) {
      told.push(event)
      for (const response of open) response.write(frame(told.length - 1, event))
    },
    drop() {
      server.closeAllConnections()
    },
    break(value) {
      broken = value
    },
    close() {
      server.closeAllConnections()
      return new Promise((resolve) =>
        server.close(() => {
          resolve()
        }),
      )
    },
  }
}

const frame = (id: number, { event, data }: RunEvent): string =>
  `id: ${String(id)}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`

async function file(pathname: string, response: ServerResponse): Promise<void> {
  const path = join(PAGE, normalize(pathname === '/' ? '/index.html' : pathname))
  const content = await readFile(path).catch(() => undefined)
  response.writeHead(content ? 200 : 404, {
    'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
    'content-security-policy': "default-src 'self'",
  })
  response.end(content)
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function filtered(runs: readonly RunSummary[], query: URLSearchParams): RunSummary[] {
  const is = (name: string, value: string): boolean => (query.get(name) ?? value) === value
  const text = query.get('text') ?? ''
  return runs.filter(
    (run) => is('status', run.status) && is('playbook', run.playbook) && JSON.stringify(run).includes(text),
  )
}

/** A page of a log. Its offsets count lines. */
function page(
  { logs }: Script,
  pathname: string,
  query: URLSearchParams,
): { lines: Entry[]; next: number; ended: boolean; first: number } {
  const step = decodeURIComponent(pathname.split('/').at(-2) ?? '')
  const all = logs[step] ?? []
  const first = Number(query.get('line') ?? query.get('from') ?? 0)
  const lines = all.slice(first, first + Number(query.get('limit') ?? 1000))
  return {
    first,
    next: first + lines.length,
    ended: first + lines.length >= all.length,
    lines: lines.map((line, index) => ({
      stream: line.startsWith('!') ? 'stderr' : 'stdout',
      line: line.replace(/^!/, ''),
      timestamp: '2026-11-21T10:00:00.000Z',
      offset: first + index + 1,
    })),
  }
}

/** The events that tell lines from `from` on. */
export function linesOf(step: string, lines: readonly string[], from = 0): RunEvent[] {
  return lines.map((line, index) => ({
    event: 'lines',
    data: {
      step,
      stream: line.startsWith('!') ? 'stderr' : 'stdout',
      lines: [line.replace(/^!/, '')],
      from: from + index,
    },
  }))
}

export function step(name: string, dependsOn: readonly string[], rest: Partial<Step> = {}): Step {
  return {
    name,
    executionId: '2f1c6c0e-6b0d-4c53-8a43-0d6f9c1b7a55',
    status: 'waiting',
    dependsOn: [...dependsOn],
    when: 'success',
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
    ...rest,
  }
}
