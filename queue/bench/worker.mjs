// A worker of a contender in a process of its own: `node worker.mjs CONTENDER PORT NAME CONCURRENCY`.

const [, , contender = '', port = '', name = '', concurrency = ''] = process.argv
process.on('disconnect', () => process.exit())
const { work } = /** @type {import('./contenders/contender').Contender} */ (
  await import(`./contenders/${contender}.mjs`)
)
await work({ host: '127.0.0.1', port: Number(port) }, name, Number(concurrency))
process.send?.('ready')
