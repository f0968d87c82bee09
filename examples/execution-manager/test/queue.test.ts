// The same service, with the steps run by the workers of a queue.

import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LogPage } from '../src/api.js'
import { redisProgram } from './redis.js'
import { Client, folder, isAlive, Play, playbook, write } from './support.js'

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
