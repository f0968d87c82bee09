// The probe: an HTTP server that says whether the worker can do its work.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ExecutionWorker } from '../index'
import type { HealthAddress } from './arguments'

/** What the probe is asked about. */
export type Probed = Pick<ExecutionWorker, 'health' | 'counts'>

/** A probe that listens. */
export interface Probe {
  /** Where, also when the system has chosen the port. */
  readonly url: string
  readonly close: () => Promise<void>
}

async function answer(worker: Probed, isDraining: () => boolean): Promise<{ status: number; body: string }> {
  const health = await worker.health()
  const draining = isDraining()
  // Who drains is well, and is not to be given anything any more.
  return {
    status: health.healthy && !draining ? 200 : 503,
    body: `${JSON.stringify({ ...health, draining, counts: worker.counts })}\n`,
  }
}

/** Answers `GET /health` until it is closed. Rejects if the address cannot be listened on. */
export async function startProbe(
  { host, port }: HealthAddress,
  worker: Probed,
  isDraining: () => boolean,
): Promise<Probe> {
  const server: Server = createServer((request, response) => {
    const json = { 'content-type': 'application/json' }
    if (request.method !== 'GET' || request.url !== '/health') {
      response.writeHead(404, json).end('{"error":"expected GET /health"}\n')
      return
    }
    answer(worker, isDraining).then(
      ({ status, body }) => response.writeHead(status, json).end(body),
      (error: Error) => response.writeHead(503, json).end(`${JSON.stringify({ error: error.message })}\n`),
    )
  })
  server.listen(port, host)
  await once(server, 'listening')
  const { port: found } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${found}/health`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
