// The service is killed in the middle of a run: nothing is left running, and its successor tells the truth.

import { expect, test } from 'vitest'
import { LogPage, RunList } from '../src/api.js'
import { Client, folder, isAlive, Play, playbook, write } from './support.js'

test('killed in the middle of a run, it leaves nothing running, and the next one tells that it was interrupted', async () => {
  const data = folder()
  const playbooks = folder()
  write(
    playbooks,
    playbook('long', {
      done: 'echo done',
      nested: {
        command: {
          type: 'shell',
          command: 'trap "" TERM HUP; (setsid sleep 300 & echo $!); sleep 300 & echo $!; echo $$; wait',
        },
        dependsOn: ['done'],
      },
      later: { command: { type: 'shell', command: 'echo later' }, dependsOn: ['nested'] },
    }),
  )
  const serveIt = async (): Promise<{ play: Play; client: Client }> => {
    const started = new Play(data, ['serve', '--playbooks', playbooks])
    const [, url = ''] = await started.says(/listening on (\S+)/)
    return { play: started, client: new Client(url) }
  }

  const first = await serveIt()
  const id = await first.client.start('long')
  await first.client.until(id, ({ steps }) => (steps[1]?.lines ?? 0) >= 3)
  const { lines } = await first.client.get(`/api/runs/${id}/steps/nested/log`, LogPage)
  const pids = lines.map(({ line }) => Number(line))
  expect(pids.map(isAlive)).toEqual([true, true, true])

  first.play.child.kill('SIGKILL')
  expect(await first.play.exit).toBe('SIGKILL')
  await expect.poll(() => pids.filter(isAlive), { timeout: 15_000 }).toEqual([])

  const second = await serveIt()
  expect(second.play.stdout).toContain('1 runs were interrupted before')
  expect(await second.client.run(id)).toMatchObject({
    status: 'interrupted',
    error: 'the program that ran it was killed',
    steps: [
      { name: 'done', status: 'completed', exitCode: 0 },
      { name: 'nested', status: 'interrupted', exitCode: null },
      { name: 'later', status: 'skipped', error: 'skipped: the run was interrupted' },
    ],
  })
  const { runs } = await second.client.get('/api/runs?status=interrupted', RunList)
  expect(runs.map((run) => run.id)).toEqual([id])
  // What it had printed before is still there.
  const log = await second.client.get(`/api/runs/${id}/steps/nested/log`, LogPage)
  expect(log.lines.map(({ line }) => Number(line))).toEqual(pids)
  const events: string[] = []
  for await (const { event } of second.client.events(id)) events.push(event)
  expect(events).toEqual(['run', 'lines', 'lines', 'end'])
  expect((await second.client.post(`/api/runs/${id}/cancel`, {})).status).toBe(409)

  second.play.child.kill('SIGTERM')
  expect(await second.play.exit).toBe(0)
})

test('a run of a program that lives is not taken for interrupted', async () => {
  const data = folder()
  const file = write(folder(), playbook('long', { a: 'echo started; sleep 300' }))
  const running = new Play(data, ['run', file])
  await running.says(/started/)
  const other = new Play(data, ['runs', '--json'])
  expect(await other.exit).toBe(0)
  expect(JSON.parse(other.stdout)).toMatchObject([{ playbook: 'long', status: 'running' }])
  running.child.kill('SIGKILL')
  await running.exit
  const after = new Play(data, ['runs', '--json'])
  expect(await after.exit).toBe(0)
  expect(JSON.parse(after.stdout)).toMatchObject([{ playbook: 'long', status: 'interrupted' }])
})
