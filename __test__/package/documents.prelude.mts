// What the examples of the documents take as given: loaded before each of them, and compiled with them.

import { ExecutionEngine, type Command, type ExecutionRequest } from '@escher-dbai/execution-engine'

declare global {
  var ExecutionEngine: typeof import('@escher-dbai/execution-engine').ExecutionEngine
  var engine: ExecutionEngine
  /** A command that would take longer than an example lasts. */
  var command: Command
  /** A command that prints a line to each stream, and ends by itself. */
  var request: ExecutionRequest
  /** The id of an execution that has finished, and has a log. */
  var id: string
  var save: (line: string) => Promise<void>
  /** Where Jest runs an example, it is there without an import. */
  var jest: typeof import('@jest/globals').jest
}

globalThis.ExecutionEngine = ExecutionEngine
globalThis.engine = new ExecutionEngine()
globalThis.command = { type: 'exec', program: 'sleep', args: ['60'] }
globalThis.request = { command: { type: 'shell', command: 'echo one; echo two >&2' } }
globalThis.id = (await globalThis.engine.run(globalThis.request)).id
globalThis.save = async () => {}

// An example shows what works.
globalThis.engine.onEvent((event) => {
  if (event.eventType === 'failed') throw new Error(`an example failed: ${event.result.error}`)
})
