// What the examples of the README take as given: loaded before each of them, and compiled with them.

import type { Command } from '@escher-dbai/execution-engine'
import { QueueEngine } from '@escher-dbai/execution-queue'

declare global {
  /** Of a server on the loopback, behind whose queue a worker is. */
  var port: number
  var queue: QueueEngine
  /** A command that ends by itself. */
  var command: Command
  var vault: { read: (name: string) => Promise<string> }
}

globalThis.port = Number(process.env['DOCUMENTS_PORT'])
globalThis.queue = new QueueEngine({ connection: { host: '127.0.0.1', port: globalThis.port } })
globalThis.command = { type: 'exec', program: 'true' }
globalThis.vault = { read: async (name) => `the value of ${name}` }
