// A network between one client and the server, to be cut and to stand still: a proxy on the loopback.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** @typedef {import('node:net').Socket} Socket */

export class Proxy {
  /** @type {import('node:net').Server} */
  #server
  /** @type {Set<[client: Socket, upstream: Socket]>} */
  #pairs = new Set()
  /** @type {'open' | 'cut' | 'stalled'} */
  #state = 'open'

  /** @param {import('node:net').Server} server @param {number} target */
  constructor(server, target) {
    this.#server = server
    server.on('connection', (client) => this.#accept(client, target))
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port
  }

  get connection() {
    return { host: '127.0.0.1', port: this.port }
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`
  }

  /** How many connections go through it. */
  get size() {
    return this.#pairs.size
  }

  /** @param {Socket} client @param {number} target */
  #accept(client, target) {
    client.on('error', () => {})
    if (this.#state === 'cut') {
      client.destroy()
      return
    }
    const upstream = connect(target, '127.0.0.1')
    upstream.on('error', () => client.destroy())
    /** @type {[Socket, Socket]} */
    const pair = [client, upstream]
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket.on('close', () => {
        this.#pairs.delete(pair)
        client.destroy()
        upstream.destroy()
      })
    }
    if (this.#state === 'open') this.#join(pair)
  }

  /** @param {[Socket, Socket]} pair */
  #join([client, upstream]) {
    client.pipe(upstream)
    upstream.pipe(client)
  }

  /** Nothing passes the connections that there are any more, and nobody is told; new ones come through. */
  silence() {
    for (const [client, upstream] of this.#pairs) {
      client.unpipe(upstream)
      upstream.unpipe(client)
      client.pause()
      upstream.pause()
    }
  }

  /** Each answer takes so much longer on the connections that there are. @param {number} ms */
  slow(ms) {
    for (const [client, upstream] of this.#pairs) {
      upstream.unpipe(client)
      upstream.on('data', (chunk) => setTimeout(() => client.write(chunk), ms)).resume()
    }
  }

  /** Ends every connection, and refuses new ones until it is healed. */
  cut() {
    this.#state = 'cut'
    this.drop()
  }

  /** Ends every connection; new ones come through. */
  drop() {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Nothing passes any more in either direction, and nobody is told, as when a cable is pulled. */
  stall() {
    this.#state = 'stalled'
    this.silence()
  }

  /** Everything passes again; what waited in a stalled connection comes late, in order. */
  heal() {
    const wasStalled = this.#state === 'stalled'
    this.#state = 'open'
    if (wasStalled) for (const pair of this.#pairs) this.#join(pair)
  }

  async close() {
    this.cut()
    this.#server.close()
    if (this.#server.listening) await once(this.#server, 'close')
  }
}

/** A proxy in front of a port of the loopback. @param {number} target @returns {Promise<Proxy>} */
export async function startProxy(target) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new Proxy(server, target)
}
