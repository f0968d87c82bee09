// The service as a whole: `play serve`, and what tests start.

import type { AddressInfo } from 'node:net'
import { makeExecutor } from './executor.js'
import { Runs } from './runs/runs.js'
import { Metrics } from './service/metrics.js'
import { expectToken } from './service/security.js'
import { buildServer } from './service/server.js'

export interface ServiceOptions {
  /** The directory of the playbooks. */
  readonly playbooks: string
  /** The directory of the history and the logs. */
  readonly data: string
  /** Default: 127.0.0.1. */
  readonly host?: string | undefined
  /** Default: 0, a free one. */
  readonly port?: number | undefined
  /** Needed for any other host than this machine. */
  readonly token?: string | undefined
  /** The Redis of a queue, whose workers run the steps. */
  readonly queue?: string | undefined
  readonly concurrency?: number | undefined
}

export interface Service {
  readonly url: string
  readonly runs: Runs
  /** How many runs were found whose program had been killed. */
  readonly recovered: number
  /** Cancels what runs, and resolves once nothing is left. */
  close(): Promise<void>
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const { playbooks, data, host = '127.0.0.1', port = 0, token, queue, concurrency } = options
  expectToken(host, token)
  const metrics = new Metrics()
  const runs = new Runs(await makeExecutor({ data, queue, concurrency }), data, metrics)
  const recovered = await runs.recover()
  const server = await buildServer({ runs, metrics, playbooks, token })
  await server.listen({ host, port })
  return {
    url: urlOf(server.server.address(), host),
    runs,
    recovered,
    close: async () => {
      await runs.close('the service was stopped')
      await server.close()
    },
  }
}

function urlOf(address: AddressInfo | string | null, host: string): string {
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return `http://${host.includes(':') ? `[${host}]` : host}:${String(port)}`
}
