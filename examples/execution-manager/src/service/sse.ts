// Server-Sent Events, written no faster than they are taken.

import { once } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'

export interface ServerEvent {
  readonly id: string
  readonly event: string
  readonly data: unknown
}

/** So often a client is told that the connection is alive, in milliseconds. */
const heartbeatMs = 15_000

const textOf = ({ id, event, data }: ServerEvent): string =>
  `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`

/** Ends with the events, or when the client has gone; `events` is given the signal of that. */
export async function sendEvents(
  reply: FastifyReply,
  events: (signal: AbortSignal) => AsyncIterable<ServerEvent>,
): Promise<void> {
  const gone = new AbortController()
  const { raw } = reply
  reply.hijack()
  raw.on('close', () => {
    gone.abort()
  })
  raw.on('error', () => {
    gone.abort()
  })
  raw.writeHead(200, {
    ...headersOf(reply),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  raw.write(':\n\n')
  const heartbeat = setInterval(() => raw.write(':\n\n'), heartbeatMs)
  try {
    for await (const event of events(gone.signal)) {
      if (gone.signal.aborted) break
      if (!raw.write(textOf(event))) await once(raw, 'drain', { signal: gone.signal })
    }
  } catch (error) {
    // A client that has gone has no use for it.
    if (!gone.signal.aborted) raw.write(textOf({ id: '', event: 'problem', data: { message: String(error) } }))
  } finally {
    clearInterval(heartbeat)
    raw.end()
  }
}

function headersOf(reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  )
}

/** Where a client that comes back was; `EventSource` says it in a header. */
export function lastEventId(request: FastifyRequest): string | undefined {
  const id = request.headers['last-event-id']
  return typeof id === 'string' && id !== '' ? id : undefined
}
