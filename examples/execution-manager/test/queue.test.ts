// The same service, with the steps run by the workers of a queue.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ExecutionEngine } from '@escher-dbai/execution-engine'
import { expect, onTestFinished, test } from 'vitest'
import { LogPage } from '../src/api.js'
import { redisProgram } from './redis.js'
import { Client, folder, isAlive, Play, playbook, write } from './support.js'

const workerProgram = fileURLToPath(new URL('../../../queue/dist/cli/main.js', import.meta.url))

const numbers = (text: string): number[] => text.trim().split(' ').filter(Boolean).map(Number)

/** What the threads of a process have started, and so on. */
function descendants(pid: number): number[] {
  const threads = `/proc/${String(pid)}/task`
  const children = readdirSync(threads).flatMap((thread) =>
    numbers(readFileSync(`${threads}/${thread}/children`, 'utf8')),
  )
  return children.concat(...children.map(descendants))
}

const steps = {
  first: { command: { type: 'shell', command: `echo '{ "n": 7 }'; echo worker $PPID >&2` }, outputs: { n: 'n' } },
  second: { command: { type: 'exec', program: 'echo', args: ['n is ${first.n}'] }, dependsOn: ['first'] },
  lines: 'seq 3000',
  bad: { command: { type: 'shell', command: 'exit 3' }, allowFailure: true, retry: { attempts: 2, delayMs: 1 } },
}

test(
  'the demo runs a playbook on two workers; it is watched, cancelled and ended as on one machine',
  { timeout: 60_000 },
  async () => {
    const playbooks = folder()
    write(playbooks, playbook('shared', steps))
    write(
      playbooks,
      playbook('long', {
        a: 'echo $$; sleep 300',
        b: { command: { type: 'exec', program: 'true' }, dependsOn: ['a'] },
      }),
    )
    const demo = new Play(folder(), [
      'demo',
      '--playbooks',
      playbooks,
      '--run',
      'shared',
      '--redis-server',
      await redisProgram(),
    ])
    const [, url = '', id = ''] = await demo.says(/watch (http:\S+)\/#\/runs\/(\S+)\n/)
    const client = new Client(url)

    const lines: string[] = []
    for await (const event of client.events(id)) {
      if (event.event === 'lines' && event.data.step === 'lines') {
        expect(event.data.from).toBe(lines.length)
        lines.push(...event.data.lines)
      }
      expect(event.event).not.toBe('gap')
    }
    expect(lines).toEqual(Array.from({ length: 3000 }, (_, i) => String(i + 1)))
    const run = await client.run(id)
    expect(run).toMatchObject({
      status: 'completed',
      steps: [
        { name: 'first', status: 'completed', outputs: { n: 7 } },
        { name: 'second', status: 'completed' },
        { name: 'lines', status: 'completed', lines: 3000 },
        { name: 'bad', status: 'failed', attempts: [{ exitCode: 3 }, { exitCode: 3 }] },
      ],
    })
    const said = await client.get(`/api/runs/${id}/steps/second/log`, LogPage)
    expect(said).toMatchObject({ lines: [{ line: 'n is 7' }], ended: true })
    const jumped = await client.get(`/api/runs/${id}/steps/lines/log?line=2998`, LogPage)
    expect(jumped).toMatchObject({ first: 2998, lines: [{ line: '2999' }, { line: '3000' }], ended: true })

    const long = await client.start('long')
    await client.until(long, ({ steps: [a] }) => (a?.lines ?? 0) > 0)
    const { lines: printed } = await client.get(`/api/runs/${long}/steps/a/log`, LogPage)
    const pid = Number(printed[0]?.line)
    expect(isAlive(pid)).toBe(true)
    expect((await client.post(`/api/runs/${long}/cancel`, { reason: 'enough' })).status).toBe(202)
    expect(isAlive(pid)).toBe(false)
    expect(await client.run(long)).toMatchObject({ status: 'cancelled', error: 'a: enough' })

    const all = descendants(demo.child.pid ?? 0)
    expect(all.length).toBeGreaterThanOrEqual(3)
    demo.child.kill('SIGINT')
    expect(await demo.exit).toBe(0)
    await expect.poll(() => all.filter(isAlive)).toEqual([])
  },
)

test(
  'killed, the service leaves nothing on the workers that the next one does not end',
  { timeout: 60_000 },
  async () => {
    const machines = new ExecutionEngine({ logDir: `${folder()}/logs` })
    onTestFinished(() => machines.shutdown())
    const socket = `${folder()}/redis.sock`
    const heard = async (program: string, args: string[], ready: RegExp): Promise<void> => {
      await new Promise<void>((resolve, reject) => {
        const hear = (line: string): void => {
          if (ready.test(line)) resolve()
        }
        const command = { type: 'exec', program, args } as const
        machines.run({ command }, { onStdout: hear, onStderr: hear }).then((result) => {
          reject(new Error(result.all))
        }, reject)
      })
    }
    const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no']
    await heard(await redisProgram(), settings, /ready to accept connections/i)
    await heard(process.execPath, [workerProgram, '--redis', `unix://${socket}`], /taking work/)

    const playbooks = folder()
    const long = { command: { type: 'shell', command: 'echo $$; sleep 300' }, dependsOn: ['first'] }
    write(
      playbooks,
      playbook('long', { first: steps.first, long, second: { ...steps.second, dependsOn: ['long', 'first'] } }),
    )
    const args = ['serve', '--playbooks', playbooks, '--queue', `unix://${socket}`]
    const data = folder()
    const first = new Play(data, [...args, '--run', 'long'])
    const [, url = '', id = ''] = await first.says(/watch (http:\S+)\/#\/runs\/(\S+)\n/)
    const client = new Client(url)
    await client.until(id, ({ steps: all }) => (all[1]?.lines ?? 0) > 0)
    const { lines } = await client.get(`/api/runs/${id}/steps/long/log`, LogPage)
    const pid = Number(lines[0]?.line)
    first.child.kill('SIGKILL')
    await first.exit
    expect(isAlive(pid)).toBe(true)

    const second = new Play(data, args)
    const [, next = ''] = await second.says(/listening on (\S+)/)
    await expect.poll(async () => (await new Client(next).run(id)).status, { timeout: 10_000 }).toBe('interrupted')
    expect(isAlive(pid)).toBe(false)
  },
)
