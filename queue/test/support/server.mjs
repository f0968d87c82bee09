// A real server for a test: on a free port of the loopback, with its data in a directory of its own. The engine runs it, so
// it is ended by its id, and nothing of it is left when the process of the test is killed.

import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ExecutionEngine } from '@escher-dbai/execution-engine'
import { Redis } from 'ioredis'
import { until } from '../../../__test__/processes.mjs'
import { serverProgram } from './server-program.mjs'

/** What a production server needs as well, and no snapshots: a restart reads what was appended. */
const SETTINGS = [
  ['--bind', '127.0.0.1'],
  ['--appendonly', 'yes'],
  ['--appendfsync', 'everysec'],
  ['--maxmemory-policy', 'noeviction'],
  ['--save', ''],
].flat()

const DAY = 86_400_000

/** @type {ExecutionEngine | undefined} */
let engine

/** One for all servers of this process. */
const theEngine = () => (engine ??= new ExecutionEngine({ logOutput: false, maxTimeoutMs: DAY, defaultTimeoutMs: DAY }))

/** A port that was free a moment ago. @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/**
 * @typedef {object} Process a server that runs
 * @property {string} id of its execution
 * @property {number} pid
 */

/**
 * Starts a server and waits until it answers. `undefined`: somebody else has taken the port.
 *
 * @param {number} port
 * @param {string} dir
 * @param {readonly string[]} settings
 * @returns {Promise<Process | undefined>}
 */
function launch(port, dir, settings) {
  const args = ['--port', String(port), '--dir', dir, ...SETTINGS, ...settings]
  let said = ''
  let pid = 0
  return new Promise((resolve, reject) => {
    /** @type {string} */
    let id
    theEngine()
      .execute(
        { command: { type: 'exec', program: serverProgram(), args }, workingDir: dir, stderr: 'stdout' },
        {
          onStdout: (line) => {
            if (said.length < 20_000) said += `${line}\n`
            if (line.includes('Ready to accept connections')) resolve({ id, pid })
          },
          onEvent: (event) => {
            if (event.eventType === 'started') {
              id = event.executionId
              pid = event.pid
            }
            if (!('result' in event)) return
            if (/Address already in use|bind: /.test(said)) resolve(undefined)
            else reject(new Error(`the server ended before it answered: ${event.result.error}\n${said}`))
          },
        },
      )
      .catch(reject)
  })
}

export class Server {
  /** @type {Process} */
  #process
  /** @type {readonly string[]} */
  #settings

  /**
   * @param {number} port
   * @param {string} dir
   * @param {Process} process
   * @param {readonly string[]} settings
   */
  constructor(port, dir, process, settings) {
    this.port = port
    this.dir = dir
    this.#process = process
    this.#settings = settings
  }

  get pid() {
    return this.#process.pid
  }

  /** What a client needs. */
  get connection() {
    return { host: '127.0.0.1', port: this.port }
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Asks it to end, which is what a restart of its service does. */
  async stop() {
    await theEngine()
      .cancel(this.#process.id)
      .catch((error) => {
        if (error.code !== 'ALREADY_FINISHED' && error.code !== 'NOT_FOUND') throw error
      })
  }

  /** Ends it without asking. */
  async kill() {
    process.kill(this.pid, 'SIGKILL')
    await theEngine().waitForCompletion(this.#process.id)
  }

  /** Starts it again where it was, with the data that it had. */
  async start() {
    const process = await launch(this.port, this.dir, this.#settings)
    if (process === undefined) throw new Error(`port ${this.port} was taken by somebody else meanwhile`)
    this.#process = process
  }

  /** How much it has appended so far: what the disk has, if power fails now. @returns {Promise<Map<string, number>>} */
  async appended() {
    // While the disk is busy it keeps for up to two seconds what it has acknowledged.
    const client = new Redis(this.port, '127.0.0.1')
    await until(async () => /aof_buffer_length:0\b/.test(await client.info('persistence')), 'all to be appended')
    client.disconnect()
    const files = readdirSync(this.dir, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.aof'))
      .map((name) => join(this.dir, name))
    return new Map(files.map((file) => [file, statSync(file).size]))
  }

  /** Forgets what it has appended since; only while it does not run. @param {Map<string, number>} appended */
  lose(appended) {
    for (const [file, size] of appended) truncateSync(file, size)
  }

  /** Ends it and removes its data. */
  async close() {
    await this.stop()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/**
 * A server with AOF (`everysec`) and `noeviction`. `settings` are more words of its command line.
 *
 * @param {readonly string[]} [settings]
 * @returns {Promise<Server>}
 */
export async function startServer(settings = []) {
  const dir = mkdtempSync(join(tmpdir(), 'queue-redis-'))
  for (let attempt = 0; attempt < 10; attempt++) {
    const port = await freePort()
    const process = await launch(port, dir, settings)
    if (process !== undefined) return new Server(port, dir, process, settings)
  }
  throw new Error('no port of the loopback stayed free long enough to start a server on it')
}
