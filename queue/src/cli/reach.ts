// Whether Redis is there, before a worker begins: what will be there later is waited for, what never will is an error.

import { Redis, type RedisOptions } from 'ioredis'

/** What no waiting mends: a wrong password, none, or one that may not do what is needed. */
const REFUSED = /^(WRONGPASS|NOAUTH|NOPERM|ERR (AUTH|invalid password|Client sent AUTH))/

/** How long it tries, in milliseconds. */
const PATIENCE_MS = 5000

/**
 * Why it cannot be reached yet, or `undefined`. The connection may be there a moment later.
 *
 * @throws what Redis says when it does not let us in.
 */
export async function reachRedis(options: RedisOptions): Promise<string | undefined> {
  const client = new Redis({
    ...options,
    lazyConnect: true,
    connectTimeout: PATIENCE_MS,
    commandTimeout: PATIENCE_MS,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    retryStrategy: () => null,
  })
  let told: Error | undefined
  client.on('error', (error: Error) => (told ??= error))
  try {
    await client.connect()
    await client.ping()
    return undefined
  } catch (error) {
    const cause = told ?? (error as Error)
    if (REFUSED.test(cause.message)) throw cause
    return cause.message
  } finally {
    client.disconnect()
  }
}
