import { Cluster } from 'ioredis'
import type { Client } from './connections'

/** How often it is asked whether something still comes back, and how long an answer may take, in milliseconds. */
const PULSE_MS = 10_000

/** A cluster has one more connection, for what is listened to. */
const ask = (client: Client): Promise<unknown> => {
  if (!(client instanceof Cluster)) return client.ping()
  const nodes = client.nodes().filter(({ status }) => status === 'ready')
  return Promise.all([client.subscribe('pulse'), ...nodes.map((node) => node.ping())])
}

/**
 * Makes a connection again on which nothing comes back any more: nobody tells of a peer that is gone without a word, or of
 * something between that has forgotten the connection. Returns what ends that.
 */
export function watchPulse(client: Client): () => void {
  let asked = 0
  let isWaiting = false
  const look = (): void => {
    // One that is only being made has a time limit of its own.
    if (client.status !== 'ready' && client.status !== 'connect') return
    if (isWaiting) return client.disconnect(true)
    isWaiting = true
    const question = (asked += 1)
    const answered = (): void => {
      if (question === asked) isWaiting = false
    }
    ask(client).then(answered, answered)
  }
  client.on('ready', () => (isWaiting = false))
  // An answer that came while the event loop was blocked is read before somebody misses it.
  const timer = setInterval(() => setImmediate(look), PULSE_MS).unref()
  return () => clearInterval(timer)
}
