// The service as its clients see it: through HTTP.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import Type from 'typebox'
import { expect, test } from 'vitest'
import { LogPage, PlaybookList, RunList, type Step } from '../src/api.js'
import { startService } from '../src/service.js'
import { Client, containing, folder, isAlive, playbook, type ReceivedEvent, serve, write } from './support.js'

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

const greeting = playbook(
  'greeting',
  {
    facts: {
      command: { type: 'shell', command: `echo '{ "who": { "first": "Ann" }, "n": 3 }'` },
      outputs: { first: 'who.first', n: 'n' },
    },
    greet: {
      command: { type: 'exec', program: 'echo', args: ['${word} ${facts.first}, ${facts.n}', { param: 'more' }] },
      dependsOn: ['facts'],
    },
  },
  {
    description: 'Greets',
    parameters: { word: { type: 'string', default: 'Hello' }, more: { type: 'list', required: false } },
  },
)

test('a playbook is listed, started with parameters, and ends with its outputs and lines', async () => {
  const { client } = await serve([greeting])
  const { playbooks } = await client.get('/api/playbooks', PlaybookList)
  expect(playbooks).toMatchObject([
    {
      name: 'greeting',
      description: 'Greets',
      parameters: [
        { name: 'word', type: 'string', default: 'Hello', required: false, secret: false },
        { name: 'more', type: 'list', required: false },
      ],
      steps: [
        { name: 'facts', type: 'shell', dependsOn: [] },
        { name: 'greet', type: 'exec', dependsOn: ['facts'], when: 'success' },
      ],
    },
  ])
  const id = await client.start('greeting', { word: 'Bye; $(date)', more: ['a b', '*'] })
  const run = await client.ended(id)
  expect(run).toMatchObject({
    id,
    playbook: 'greeting',
    status: 'completed',
    error: null,
    parameters: { word: 'Bye; $(date)', more: ['a b', '*'] },
    steps: [
      { name: 'facts', status: 'completed', outputs: { first: 'Ann', n: 3 }, lines: 1 },
      { name: 'greet', status: 'completed', exitCode: 0, lines: 1 },
    ],
  })
  const log = await client.get(`/api/runs/${id}/steps/greet/log`, LogPage)
  expect(log.lines).toMatchObject([{ stream: 'stdout', line: 'Bye; $(date) Ann, 3 a b *' }])
  expect(log).toMatchObject({ ended: true, first: 0 })
  expect(await client.run(id)).toEqual(run)
})

test.each([
  [{ playbook: 'nobody' }, 404, 'NOT_FOUND', 'playbook', 'there is no playbook nobody: there is greeting'],
  [{ playbook: 'greeting', parameters: { wrd: 'x' } }, 400, 'VALIDATION', 'parameters.wrd', 'it has word, more'],
  [{ playbook: 'greeting', parameters: { word: 1 } }, 400, 'VALIDATION', 'parameters.word', 'expected a text, found 1'],
  [
    { playbook: 'greeting', parameters: { more: [1] } },
    400,
    'VALIDATION',
    'parameters.more',
    'expected a list of texts',
  ],
  [{ playbok: 'greeting' }, 400, 'VALIDATION', 'body', 'playbook'],
])('%j is refused', async (body, status, code, field, message) => {
  const { client } = await serve([greeting])
  const refused = await client.post('/api/runs', body)
  expect(refused.status).toBe(status)
  expect(JSON.parse(refused.text)).toMatchObject({ error: { code, field, message: containing(message) } })
  expect(await client.get('/api/runs', RunList)).toEqual({ runs: [] })
})

test('a file that is no playbook is told beside those that are', async () => {
  const { client, playbooks } = await serve([greeting])
  const file = write(playbooks, '{ "name": 1 }')
  const list = await client.get('/api/playbooks', PlaybookList)
  expect(list.playbooks).toHaveLength(1)
  expect(list.problems).toEqual([expect.stringContaining(`${file}:1:11: name: `)])
})

test('runs are listed newest first, by status, playbook and text', async () => {
  const { client } = await serve([greeting, playbook('failing', { a: 'exit 3' })])
  const first = await client.start('greeting', { word: 'Moin' })
  await client.ended(first)
  const second = await client.start('failing')
  await client.ended(second)
  const ids = async (query: string): Promise<string[]> =>
    (await client.get(`/api/runs${query}`, RunList)).runs.map(({ id }) => id)
  expect(await ids('')).toEqual([second, first])
  expect(await ids('?limit=1')).toEqual([second])
  expect(await ids('?status=completed')).toEqual([first])
  expect(await ids('?playbook=failing')).toEqual([second])
  expect(await ids('?text=moin')).toEqual([first])
  expect(await ids('?text=exited%20with')).toEqual([second])
  expect(await ids('?status=running')).toEqual([])
  expect((await client.request('/api/runs?status=nix')).status).toBe(400)
})

test('after a failure the step for failures runs, and what depends on it is skipped', async () => {
  const { client } = await serve([
    playbook('deploying', {
      deploy: 'echo half; exit 3',
      announce: { command: { type: 'shell', command: 'true' }, dependsOn: ['deploy'] },
      undo: { command: { type: 'shell', command: 'echo undone' }, dependsOn: ['deploy'], when: 'failure' },
    }),
  ])
  const run = await client.ended(await client.start('deploying'))
  expect(run).toMatchObject({ status: 'failed', error: 'deploy: exited with code 3' })
  expect(run.steps.map(({ status }) => status)).toEqual(['failed', 'skipped', 'completed'])
  expect(run.steps[1]?.error).toContain('deploy')
})

/** A step that succeeds when it is tried for the third time, and there is a file `go`. */
const flaky = (directory: string, delayMs: number): Record<string, unknown> =>
  playbook('flaky', {
    a: {
      command: {
        type: 'shell',
        command:
          'echo x >> tries; [ $(wc -l < tries) -ge 3 ] || { echo no >&2; exit 7; }; until [ -e go ]; do sleep 0.02; done',
      },
      workingDir: directory,
      retry: { attempts: 3, delayMs, backoff: 1, jitter: false },
    },
  })

test('each attempt is told, and the result has all of them', async () => {
  const directory = folder()
  const { client } = await serve([flaky(directory, 1000)])
  const id = await client.start('flaky')
  const told: Step[] = []
  for await (const event of client.events(id)) {
    // What came before it listened is in the run as it was then.
    const step = event.event === 'run' ? event.data.steps[0] : event.event === 'step' ? event.data : undefined
    if (step === undefined) continue
    told.push(step)
    if (step.attempts.length === 2 && step.attemptStartedAt !== null) writeFileSync(join(directory, 'go'), '')
  }
  const retries = told.filter(({ retrying }) => retrying !== null)
  expect(retries).toMatchObject([
    { status: 'running', attempts: [{ exitCode: 7, error: 'exited with code 7' }], retrying: { attempt: 2 } },
    { status: 'running', attempts: [{ exitCode: 7 }, { exitCode: 7 }], retrying: { attempt: 3 } },
  ])
  const last = told.findLast(({ attemptStartedAt }) => attemptStartedAt !== null)
  const run = await client.run(id)
  expect(run.steps).toMatchObject([
    { attempts: [{ exitCode: 7 }, { exitCode: 7 }, { exitCode: 0 }], retrying: null, attemptStartedAt: null },
  ])
  // The attempt that ran told when it had begun, and those that ended told the same.
  expect(last).toMatchObject({ attempts: [{}, {}], retrying: null })
  const began = Date.parse(run.steps[0]?.attempts[2]?.startedAt ?? '')
  expect(Math.abs(Date.parse(last?.attemptStartedAt ?? '') - began)).toBeLessThan(100)
})

test('who comes while a step waits for its next attempt is told which it is, and until when', async () => {
  const { client } = await serve([flaky(folder(), 300_000)])
  const id = await client.start('flaky')
  const waiting = await client.until(id, ({ steps: [a] }) => a?.retrying !== null)
  const [a] = waiting.steps
  expect(a).toMatchObject({ status: 'running', attemptStartedAt: null, attempts: [{ exitCode: 7 }] })
  expect(a?.retrying?.attempt).toBe(2)
  const [attempt] = a?.attempts ?? []
  const ended = Date.parse(attempt?.startedAt ?? '') + (attempt?.durationMs ?? 0)
  expect(Math.abs(Date.parse(a?.retrying?.at ?? '') - ended - 300_000)).toBeLessThan(1000)
  for await (const event of client.events(id)) {
    expect(event).toMatchObject({ event: 'run', data: { steps: [{ retrying: a?.retrying }] } })
    break
  }
  await client.post(`/api/runs/${id}/cancel`, {})
  expect((await client.run(id)).steps).toMatchObject([{ status: 'cancelled', retrying: null }])
})

test('a step that has printed nothing has an empty log, also when the service was started anew', async () => {
  const data = folder()
  const { client, service, playbooks } = await serve([playbook('silent', { a: 'true' })], { data })
  const id = await client.start('silent')
  await client.ended(id)
  const path = `/api/runs/${id}/steps/a/log`
  const empty = { lines: [], next: 0, ended: true, first: 0 }
  expect(await client.get(path, LogPage)).toEqual(empty)
  await service.close()
  const next = await startService({ playbooks, data })
  try {
    const other = new Client(next.url)
    expect(await other.get(path, LogPage)).toEqual(empty)
    expect((await other.request(`${path}/follow`)).text).toMatch(/^:\n\nid: 0\nevent: end\n/)
    const events: string[] = []
    for await (const { event } of other.events(id)) events.push(event)
    expect(events).toEqual(['run', 'end'])
  } finally {
    await next.close()
  }
})

test('a cancel is answered once nothing is left, and is told with its reason', async () => {
  const { client } = await serve([playbook('long', { a: 'sleep 60 & echo $!; wait', b: 'sleep 60' })])
  const id = await client.start('long')
  await client.until(id, ({ steps }) => (steps[0]?.lines ?? 0) > 0)
  const { lines } = await client.get(`/api/runs/${id}/steps/a/log`, LogPage)
  const cancelled = await client.post(`/api/runs/${id}/cancel`, { reason: 'no longer needed' })
  expect(cancelled.status).toBe(202)
  expect(isAlive(Number(lines[0]?.line))).toBe(false)
  expect(await client.run(id)).toMatchObject({ status: 'cancelled', error: 'a: no longer needed' })
  const again = await client.post(`/api/runs/${id}/cancel`, {})
  expect(again).toMatchObject({ status: 409, text: containing('ALREADY_FINISHED') })
})

test('a deadline of the whole run is told as such', async () => {
  const { client } = await serve([playbook('slow', { a: 'sleep 60' }, { timeoutMs: 200 })])
  expect(await client.ended(await client.start('slow'))).toMatchObject({ status: 'timeout' })
})

test('a watcher that is cut off again and again misses nothing and sees nothing twice', async () => {
  const { client } = await serve([
    playbook('talking', {
      first:
        'for i in $(seq 400); do echo "out $i"; [ $((i % 7)) = 0 ] && echo "err $i" >&2; [ $((i % 40)) = 0 ] && sleep 0.02; done',
      second: 'for i in $(seq 300); do echo "two $i"; [ $((i % 30)) = 0 ] && sleep 0.02; done',
      third: { command: { type: 'shell', command: 'seq 2500' }, dependsOn: ['first'] },
    }),
  ])
  const id = await client.start('talking')
  const lines = new Map<string, string[]>()
  const ends: string[] = []
  let last: string | undefined
  let connections = 0
  let ended = false
  while (!ended) {
    connections += 1
    let events = 0
    for await (const event of client.events(id, last)) {
      last = event.id
      if (event.event === 'lines') {
        const { step, stream, from } = event.data
        const before = lines.get(step) ?? []
        expect(from).toBe(before.length)
        lines.set(step, [...before, ...event.data.lines.map((line) => `${stream} ${line}`)])
      }
      if (event.event === 'run') expect(connections).toBe(1)
      if (event.event === 'step' && event.data.status === 'completed') ends.push(event.data.name)
      expect(event.event).not.toBe('gap')
      ended = event.event === 'end'
      events += 1
      if (events > connections % 3) break
    }
  }
  expect(connections).toBeGreaterThan(5)
  const first = lines.get('first') ?? []
  expect(first.filter((line) => line.startsWith('stdout'))).toEqual(numbers(400).map((i) => `stdout out ${String(i)}`))
  expect(first.filter((line) => line.startsWith('stderr'))).toHaveLength(57)
  expect(lines.get('second')).toEqual(numbers(300).map((i) => `stdout two ${String(i)}`))
  expect(lines.get('third')).toEqual(numbers(2500).map((i) => `stdout ${String(i)}`))
  expect(ends.sort()).toEqual([...new Set(ends)])
})

test('who comes late gets the end of a long log, and is told what is left out', async () => {
  const { client } = await serve([playbook('much', { a: 'seq 12000' })])
  const id = await client.start('much')
  await client.ended(id)
  const events: ReceivedEvent[] = []
  for await (const event of client.events(id)) events.push(event)
  expect(events.map(({ event }) => event)).toEqual(['run', 'gap', 'lines', 'lines', 'lines', 'lines', 'lines', 'end'])
  expect(events[1]?.data).toEqual({ step: 'a', from: 0, to: 7000 })
  expect(events[2]?.data).toMatchObject({ from: 7000, lines: numbers(12_000).slice(7000, 8000).map(String) })
  const page = await client.get(`/api/runs/${id}/steps/a/log?line=6543&limit=2`, LogPage)
  expect(page).toMatchObject({ first: 6543, lines: [{ line: '6544' }, { line: '6545' }] })
  const behind = await client.get(`/api/runs/${id}/steps/a/log?line=12000`, LogPage)
  expect(behind).toMatchObject({ first: 12_000, lines: [], ended: true })
  expect(await client.request(`/api/runs/${id}/steps/a/log?line=1&from=0`)).toMatchObject({
    status: 400,
    text: containing('either from or line'),
  })
  const next = await client.get(`/api/runs/${id}/steps/a/log?from=${String(page.next)}&limit=1`, LogPage)
  expect(next).toMatchObject({ first: null, lines: [{ line: '6546' }] })
  const followed = await client.request(`/api/runs/${id}/steps/a/log/follow?from=${String(page.next)}`)
  expect(followed.text).toMatch(/event: entries\ndata: \[\{"stream":"stdout","line":"6546"/)
  expect(followed.text).toMatch(/event: end\n/)
})

test('what runs when the service is stopped is cancelled, and its successor knows of it', async () => {
  const data = folder()
  const { client, service, playbooks } = await serve([playbook('long', { a: 'echo $$; sleep 60' }), greeting], { data })
  const done = await client.start('greeting')
  await client.ended(done)
  const id = await client.start('long')
  await client.until(id, ({ steps }) => (steps[0]?.lines ?? 0) > 0)
  await service.close()
  const next = await startService({ playbooks, data })
  try {
    const other = new Client(next.url)
    expect(next.recovered).toBe(0)
    expect(await other.run(id)).toMatchObject({ status: 'cancelled', error: 'a: the service was stopped' })
    // What was printed before is still there.
    const log = await other.get(`/api/runs/${done}/steps/greet/log`, LogPage)
    expect(log.lines).toMatchObject([{ line: 'Hello Ann, 3' }])
    const events: string[] = []
    for await (const { event } of other.events(done)) events.push(event)
    expect(events).toEqual(['run', 'lines', 'lines', 'end'])
  } finally {
    await next.close()
  }
})

test('lines that are not kept any more are told as a gap', async () => {
  const data = folder()
  const { client, service, playbooks } = await serve([greeting], { data })
  const id = await client.start('greeting')
  await client.ended(id)
  await service.close()
  rmSync(join(data, 'logs'), { recursive: true })
  const next = await startService({ playbooks, data })
  try {
    const events: ReceivedEvent[] = []
    for await (const event of new Client(next.url).events(id)) events.push(event)
    // Of both, in the order in which it is noticed.
    const gaps = events.flatMap((event) => (event.event === 'gap' ? [event.data] : []))
    expect(gaps).toHaveLength(2)
    expect(gaps).toEqual(expect.arrayContaining(['facts', 'greet'].map((step) => ({ step, from: 0, to: 1 }))))
    expect(await new Client(next.url).request(`/api/runs/${id}/steps/greet/log`)).toMatchObject({
      status: 404,
      text: containing('not kept any more'),
    })
  } finally {
    await next.close()
  }
})

test('health and metrics are told', async () => {
  const { client } = await serve([greeting])
  expect(await client.get('/healthz', Type.Object({ status: Type.String() }))).toEqual({ status: 'ok', running: 0 })
  await client.ended(await client.start('greeting'))
  await expect.poll(async () => (await client.request('/metrics')).text).toContain('manager_runs_running 0')
  const { text } = await client.request('/metrics')
  expect(text).toContain('manager_runs_total{playbook="greeting",status="completed"} 1')
  expect(text).toContain('manager_lines_total{stream="stdout"} 2')
  expect(text).toMatch(/manager_step_duration_seconds_count\{playbook="greeting",step="greet",status="completed"\} 1/)
  expect(text).toContain('nodejs_eventloop_lag_seconds')
})

test('others than this machine need a token', async () => {
  const directory = folder()
  await expect(startService({ playbooks: directory, data: directory, host: '0.0.0.0' })).rejects.toThrow(
    'expected a token',
  )
  await expect(startService({ playbooks: directory, data: directory, token: 'short' })).rejects.toThrow(
    'eight characters',
  )
})

test('with a token nothing but the health is told without it', async () => {
  const token = 'correct horse'
  const { client, service } = await serve([greeting], { token, host: '0.0.0.0' })
  const stranger = new Client(service.url.replace('0.0.0.0', '127.0.0.1'))
  for (const path of ['/api/playbooks', '/api/runs', '/metrics', '/api/runs/x/events']) {
    expect(await stranger.request(path), path).toMatchObject({ status: 401 })
  }
  expect(await stranger.request('/healthz')).toMatchObject({ status: 200 })
  expect(await stranger.post('/login', { token: 'wrong horse' })).toMatchObject({ status: 401 })
  for (const wrong of ['?token=wrong', '']) {
    const refused = await fetch(`${stranger.url}/login${wrong}`, { redirect: 'manual' })
    expect(refused.headers.get('set-cookie')).toBe(null)
  }
  expect((await stranger.post('/api/runs', { playbook: 'greeting' })).status).toBe(401)
  expect((await client.request('/api/playbooks')).status).toBe(200)
  const link = await fetch(`${stranger.url}/login?token=${encodeURIComponent(token)}`, { redirect: 'manual' })
  expect(link.status).toBe(302)
  const form = await fetch(`${stranger.url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  })
  expect(form.status).toBe(204)
  for (const signedIn of [link, form]) {
    const cookie = signedIn.headers.get('set-cookie') ?? ''
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/)
    const browser = new Client(stranger.url, { cookie: cookie.split(';', 1)[0] ?? '' })
    expect((await browser.request('/api/runs')).status).toBe(200)
  }
})

/** `fetch` says the host itself. */
async function statusOf(url: string, headers: Record<string, string>, method = 'GET'): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    request(url, { headers, method }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })
}

test('a page of another origin can do nothing, whatever its name resolves to', async () => {
  const { client } = await serve([greeting])
  const id = await client.start('greeting')
  await client.ended(id)
  const { host } = new URL(client.url)
  expect(await statusOf(`${client.url}/api/runs`, { origin: 'http://evil.example' })).toBe(403)
  expect(await statusOf(`${client.url}/api/runs/${id}/cancel`, { origin: 'null' }, 'POST')).toBe(403)
  expect(await statusOf(`${client.url}/api/runs`, { host: 'evil.example' })).toBe(403)
  expect(await statusOf(`${client.url}/api/runs`, { origin: `http://${host}` })).toBe(200)
  const form = await client.request('/api/runs', { method: 'POST', body: 'playbook=greeting' })
  expect(form.status).toBe(415)
})

test('no secret is in an answer, an event, a log, the history or a message', async () => {
  const secret = 'hunter2-"geheim"'
  const data = folder()
  const { client, service } = await serve(
    [
      playbook(
        'guarded',
        {
          leak: {
            command: {
              type: 'shell',
              command:
                'echo "{ \\"token\\": \\"$TOKEN\\" }"; echo "$TOKEN" >&2; cat; printf %s "$TOKEN" | base64; exit 0',
            },
            env: { TOKEN: { param: 'token' } },
            stdin: { param: 'token' },
          },
          tell: {
            command: { type: 'shell', command: `printf '{"t": "%s"}' "$TOKEN"` },
            env: { TOKEN: 'x-${token}' },
            outputs: { t: 't' },
          },
          use: { command: { type: 'exec', program: 'echo', args: ['${tell.t}'] }, dependsOn: ['tell'] },
        },
        { parameters: { token: { type: 'string', secret: true } } },
      ),
    ],
    { data },
  )
  const seen: string[] = []
  const id = await client.start('guarded', { token: secret })
  for await (const event of client.events(id)) seen.push(JSON.stringify(event))
  for (const path of ['', '/steps/leak/log', '/steps/use/log'])
    seen.push((await client.request(`/api/runs/${id}${path}`)).text)
  seen.push((await client.request('/api/runs?text=guarded')).text, (await client.request('/metrics')).text)
  const refused = await client.post('/api/runs', { playbook: 'guarded', parameters: { token: ['hunter2-"geheim"'] } })
  seen.push(refused.text)
  expect(refused.status).toBe(400)
  expect(await client.run(id)).toMatchObject({ status: 'completed', parameters: { token: '***' } })
  await service.close()
  for (const file of ['history.db', 'history.db-wal']) {
    try {
      seen.push(readFileSync(join(data, file), 'latin1'))
    } catch {
      // It is gone when the history was closed.
    }
  }
  expect(seen.join('\n')).toContain('***')
  expect(seen.join('\n')).not.toMatch(/hunter2|geheim/)
})
