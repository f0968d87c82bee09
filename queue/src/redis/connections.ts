import { ExecutionError } from '@escher-dbai/execution-engine'
import { Cluster, Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { Connection } from '../options'
import { describe, refused } from '../errors'
import { redisOptions } from './address'
import { watchPulse } from './pulse'

export type Client = Redis | Cluster

/**
 * BullMQ, and whatever must survive a reconnection, waits until there is one. A connection that is closed twice keeps the
 * process for `disconnectTimeout` milliseconds, and by then nothing is on its way.
 */
const PATIENT = { maxRetriesPerRequest: null, lazyConnect: false, disconnectTimeout: 200 } as const
/** What listens cannot be asked whether it is ready once it does. */
const LISTENING = { ...PATIENT, enableReadyCheck: false } as const

const isClient = (connection: unknown): connection is Client =>
  connection instanceof Redis ||
  connection instanceof Cluster ||
  // A client of another copy of the library.
  (typeof connection === 'object' && connection !== null && 'duplicate' in connection && 'defineCommand' in connection)

function addressed(address: string): RedisOptions {
  const options = redisOptions(address)
  if (typeof options === 'object') return options
  throw new ExecutionError('INVALID_CONFIG', `connection: ${options}`, { field: 'connection' })
}

/**
 * Makes the connections of one engine or worker, and closes them. While none of them is held, they do not keep the
 * process alive.
 */
export class Connections {
  /** Each with what ends the watch over it. */
  readonly #clients = new Map<Client, () => void>()
  readonly #connection: Exclude<Connection, string>
  #holds = 0
  #lastError: Error | undefined

  constructor(given: Connection) {
    const connection = typeof given === 'string' ? addressed(given) : given
    if (typeof connection !== 'object' || connection === null) {
      const expected = 'an address, options of ioredis, or a client'
      throw refused('connection', expected, describe(connection), 'INVALID_CONFIG')
    }
    const prefix = isClient(connection) ? connection.options.keyPrefix : connection.keyPrefix
    if (prefix) throw refused('connection', 'one without a keyPrefix', describe(prefix), 'INVALID_CONFIG')
    this.#connection = connection
  }

  /** Another connection, for commands or to listen. */
  open(use: 'commands' | 'listening' = 'commands'): Client {
    const client = this.#make(use === 'listening' ? LISTENING : PATIENT)
    this.#clients.set(client, watchPulse(client))
    // What cannot be reached now is tried again; who waits is told of the last error when time is over.
    client.on('error', (error: Error) => (this.#lastError = error))
    client.on('ready', () => (this.#lastError = undefined))
    client.on('connect', () => this.#applyHold(client))
    return client
  }

  #make(own: typeof PATIENT | typeof LISTENING): Client {
    const connection = this.#connection
    if (!isClient(connection)) return new Redis({ ...connection, ...own })
    if (connection instanceof Redis) return connection.duplicate(own)
    return connection.duplicate([], { redisOptions: { ...connection.options.redisOptions, ...PATIENT } })
  }

  /** Why there is no connection, or `undefined`. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  /** Keeps the process alive until the returned function is called. */
  hold(): () => void {
    this.#holds += 1
    if (this.#holds === 1) this.#applyHolds()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#holds -= 1
      if (this.#holds === 0) this.#applyHolds()
    }
  }

  #applyHolds(): void {
    for (const client of this.#clients.keys()) this.#applyHold(client)
  }

  #applyHold(client: Client): void {
    const sockets = client instanceof Cluster ? client.nodes().map((node) => node.stream) : [client.stream]
    for (const socket of sockets) {
      if (this.#holds > 0) socket?.ref?.()
      else socket?.unref?.()
    }
  }

  /** Ends all connections at once; what is under way is rejected. */
  close(): void {
    for (const [client, endWatch] of this.#clients) {
      endWatch()
      client.disconnect()
    }
    this.#clients.clear()
  }
}
