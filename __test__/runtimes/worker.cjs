'use strict'

const { tmpdir } = require('node:os')
const { parentPort } = require('node:worker_threads')
const { ExecutionEngine } = require('../../index.js')

const engine = new ExecutionEngine({ logDir: tmpdir(), logOutput: false })
void engine
  .run({ command: { type: 'shell', command: 'echo from a worker', shell: 'sh' } })
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- of a window, which this is not
  .then(({ stdout }) => parentPort?.postMessage(stdout))
