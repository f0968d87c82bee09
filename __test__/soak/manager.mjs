// A process manager, long-lived and outside of every engine: `node manager.mjs SOCKET`. A client sends `now` or `later`, and
// its environment, separated by NUL; the manager starts an app with that environment, at once or after the client has
// gone, as process managers and schedulers do.

import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const [socket] = process.argv.slice(2)

/** @param {string[]} variables */
function start(variables) {
  const env = Object.fromEntries(variables.map((variable) => variable.split(/=(.*)/s).slice(0, 2)))
  return spawn('sleep', [String(env['APP'])], { env, detached: true, stdio: 'ignore' }).pid
}

createServer({ allowHalfOpen: true }, (client) => {
  let text = ''
  client.setEncoding('utf8').on('data', (data) => (text += data))
  client.on('error', () => {})
  client.on('end', async () => {
    const [when, ...variables] = text.split('\0')
    if (when === 'now') return client.end(`${start(variables)}\n`)
    client.end('later\n')
    await sleep(300)
    start(variables)
  })
}).listen(socket, () => console.log('ready'))
