// Contract, section 3, 20 and 21: a secret is never printed, wherever and however it is.

import { execFileSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExecutionError, type ExecutionEvent, type ExecutionRequest } from '../../index.js'
import { exec, newEngine, shell, temporary, until } from './support.js'

const SECRET = 'hunter22-s3cr3t'

/** Prints a text as it is, in writes of so many bytes. */
const printing = (text: string, more: Partial<ExecutionRequest> = {}): ExecutionRequest => ({
  ...exec('cat'),
  stdin: text,
  ...more,
})

/** What is left of a text that is printed by a command with these secrets. */
async function masked(text: string, ...secrets: string[]): Promise<string> {
  const { stdout } = await newEngine({ logOutput: false }).run(printing(text, { secrets }))
  return stdout
}

/** The error that something is refused with. */
async function refusal(refused: Promise<unknown>): Promise<ExecutionError> {
  const error = await refused.then(
    () => expect.fail('expected a refusal'),
    (error: unknown) => error,
  )
  return error as ExecutionError
}

// Every place where something is told

test('a secret is in no place where something is told of an execution', async () => {
  const dir = temporary()
  const engine = newEngine({ oversizedOutputStrategy: 'stream_to_file', maxOutputSizeBytes: 64 })
  const told: unknown[] = []
  engine.onEvent((event) => void told.push(event))
  const line = `the password is ${SECRET}, and once more: ${SECRET}`
  const result = await engine.run(
    {
      ...exec('sh', '-c', `for i in 1 2 3 4 5; do echo "$1"; echo "$1" >&2; done`, 'sh', line),
      secrets: [SECRET],
      outputLogPath: join(dir, 'raw'),
    },
    {
      onStdout: (line) => void told.push(line),
      onStderr: (line) => void told.push(line),
      onEvent: (event) => void told.push(event),
    },
  )
  const expected = 'the password is ***, and once more: ***'
  expect(told.filter((one) => one === expected)).toHaveLength(10)
  expect(result).toMatchObject({ success: true, truncated: true, stdoutBytes: 5 * (line.length + 1) })
  const files = [result.logPath, join(dir, 'raw'), result.stdoutOverflowFile, result.stderrOverflowFile]
  const texts = files.map((file) => readFileSync(String(file), 'utf8'))
  for (const text of texts) expect(text).toContain('***')
  expect(result.stdout + texts[2]).toBe(`${expected}\n`.repeat(5))
  expect(texts[0]?.match(/ F the password is \*\*\*, and once more: \*\*\*$/gm)).toHaveLength(10)
  told.push(result, texts, await engine.readLogs(result.id), await engine.listExecutions())
  told.push(await engine.getResult(result.id))
  expect(JSON.stringify(told)).not.toContain('hunter22')
  expect(result.command).toContain('the password is ***')
})

test('a stream of events holds no secret', async () => {
  const events: ExecutionEvent[] = []
  for await (const event of newEngine().stream({ ...exec('echo', SECRET), secrets: [SECRET] })) events.push(event)
  expect(JSON.stringify(events)).not.toContain('hunter22')
  expect(events).toMatchObject([
    { eventType: 'started', command: "echo '***'" },
    { eventType: 'stdout', line: '***' },
    { eventType: 'completed', result: { stdout: '***\n' } },
  ])
})

test('a secret on the command line of a program that is missing is in no message', async () => {
  const engine = newEngine()
  const told: unknown[] = []
  const onEvent = (event: ExecutionEvent): void => void told.push(event)
  const results = [
    await engine.run({ ...exec(`/no/such/${SECRET}`, `--password=${SECRET}`), secrets: [SECRET] }, { onEvent }),
    await engine.run({ ...exec(`no-such-${SECRET}`), secrets: [SECRET] }, { onEvent }),
    await engine.run({ ...exec('sleep', SECRET), secrets: [SECRET] }, { onEvent }),
  ]
  expect(results[0]).toMatchObject({
    errorCode: 'SPAWN_FAILED',
    error: 'program not started: "/no/such/***": no such file or directory',
    command: "'/no/such/***' '--password=***'",
  })
  expect(results[1]?.error).toContain('"no-such-***"')
  expect(results[2]).toMatchObject({ status: 'failed', command: "sleep '***'" })
  expect(results[2]?.stderr).toContain('***')
  expect(JSON.stringify([told, results, await engine.listExecutions()])).not.toContain('hunter22')
})

test('the command is shown without its secrets however they are quoted there', async () => {
  const secrets = [`it's $5 "now"`, 'two words', 'line one\nline two', 'tab\tand\u001bescape']
  const request = { ...exec('true', `a${secrets[0]}b`, 'two', 'words', `x=${secrets[2]}`, String(secrets[3])), secrets }
  const { command } = await newEngine().run(request)
  expect(command).toBe("true 'a***b' *** 'x=***' '***'")
  const line = await newEngine().run(shell(`true "${SECRET}" #\n${secrets[2]}`, { secrets: [SECRET, ...secrets] }))
  expect(line.command).toBe('true "***" #\\n***')
})

test('a request is refused without the secrets in it', async () => {
  const engine = newEngine()
  const secrets = [SECRET]
  const wrong: [unknown, string][] = [
    [{ ...exec('true'), workingDir: `/no/${SECRET}`, secrets }, 'workingDir'],
    [{ ...exec('true'), timeoutMs: SECRET, secrets }, 'timeoutMs'],
    [{ ...exec('true'), id: `${'x'.repeat(50)}${SECRET}`, secrets }, 'id'],
    [{ ...exec('true'), [SECRET]: 1, secrets }, '***'],
    [{ ...exec('true'), env: { [`${SECRET}=`]: '' }, secrets }, 'env.***='],
    [{ ...exec('true', `${SECRET}\0`), secrets }, 'command.args[0]'],
    [{ ...exec('true', `${SECRET}\ud800`), secrets }, 'command.args[0]'],
    [{ command: { type: 'script', path: `/no/${SECRET}` }, secrets }, 'command.path'],
    [{ command: { type: 'script', path: '/bin/true', interpreter: SECRET }, secrets }, 'command.interpreter'],
    [{ command: { type: 'aws_cli', service: `-${SECRET}`, operation: 'x' }, secrets }, 'command.service'],
    [
      { command: { type: 'aws_cli', service: `-${SECRET}`, operation: 'x' }, secretEnv: ['P'], env: { P: SECRET } },
      'command.service',
    ],
    [{ command: { type: SECRET }, secrets }, 'command.type'],
    [{ ...exec('true'), timeoutMs: -12345678, secrets: ['12345678'] }, 'timeoutMs'],
  ]
  for (const [request, field] of wrong) {
    const error = await refusal(engine.run(request as ExecutionRequest))
    expect(error).toMatchObject({ code: 'VALIDATION', field })
    expect(error.message).not.toMatch(/hunter22|s3cr3t|12345678/)
    const plan = { strategy: { type: 'serial' }, commands: [request] }
    const ofPlan = await refusal(engine.runPlan(plan as never))
    expect(ofPlan).toMatchObject({ code: 'VALIDATION', field: `commands[0].${field}` })
    expect(ofPlan.message).not.toMatch(/hunter22|s3cr3t|12345678/)
  }
})

test('a value that cannot be masked is refused, and not told', async () => {
  const engine = newEngine()
  const wrong: [unknown, string, RegExp][] = [
    [['good-secret', 'also-good', 'abc'], 'secrets[2]', /expected a text of 4 to 65536 bytes .*, found one of 3$/],
    [['good-secret', ''], 'secrets[1]', /found an empty string$/],
    [['x'.repeat(65_537)], 'secrets[0]', /found one of 65537$/],
    [['\n\n\n\n'], 'secrets[0]', /found only white space$/],
    [[' \t '], 'secrets[0]', /found only white space$/],
    ['hunter22', 'secrets', /expected an array, found a string$/],
    [[12345678], 'secrets[0]', /expected a string, found a number$/],
    [[['hunter22']], 'secrets[0]', /expected a string, found an array of 1$/],
    [['hunter22\ud800'], 'secrets[0]', /found a string with half of one$/],
    [{ hunter22: 1 }, 'secrets', /expected an array, found an object/],
  ]
  for (const [secrets, field, message] of wrong) {
    const error = await refusal(engine.run({ ...exec('true'), secrets } as ExecutionRequest))
    expect(error).toMatchObject({ code: 'VALIDATION', field, message: expect.stringMatching(message) })
    expect(error.message).not.toMatch(/abc|hunter22|12345678/)
    const plan = { strategy: { type: 'serial' }, commands: [exec('true')], secrets }
    const ofPlan = await refusal(engine.runPlan(plan as never))
    expect(ofPlan).toMatchObject({ code: 'VALIDATION', field })
  }
  expect(await masked('abcd €€ abc', 'abcd', '€€')).toBe('*** *** abc')
})

// Variables

test('the values of the variables that a request names are secrets', async () => {
  const engine = newEngine()
  const env = { MINE: SECRET, OTHER: 'seen-by-all', EMPTY: '', BLANK: '   ' }
  const print = shell('echo "$MINE $OTHER"', { env })
  expect((await engine.run({ ...print, secretEnv: ['MINE', 'EMPTY', 'BLANK', 'MISSING'] })).stdout).toBe(
    '*** seen-by-all\n',
  )
  expect((await engine.run(print)).stdout).toBe(`${SECRET} seen-by-all\n`)
  process.env['ENGINE_TEST_INHERITED'] = 'inherited-secret'
  try {
    const inherited = shell('echo "$ENGINE_TEST_INHERITED"', { secretEnv: ['ENGINE_TEST_INHERITED'] })
    expect((await engine.run(inherited)).stdout).toBe('***\n')
    // The one that the command gets counts.
    const both = shell('echo "$ENGINE_TEST_INHERITED" inherited-secret', {
      env: { ENGINE_TEST_INHERITED: 'another-value' },
      secretEnv: ['ENGINE_TEST_INHERITED'],
    })
    expect((await engine.run(both)).stdout).toBe('*** inherited-secret\n')
  } finally {
    delete process.env['ENGINE_TEST_INHERITED']
  }
  const short = await refusal(engine.run({ ...exec('true'), env: { PIN: '123' }, secretEnv: ['PIN'] }))
  expect(short).toMatchObject({ code: 'VALIDATION', field: 'secretEnv[0]' })
  expect(short.message).toMatch(/"PIN", whose value has 3$/)
})

test('the secrets of AWS are masked when nobody names them, and those of other patterns when the engine does', async () => {
  const env = {
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG',
    AWS_SESSION_TOKEN: 'session-token-value',
    NPM_TOKEN: 'npm_0123456789',
    DEBUG_TOKEN: 'yes',
  }
  const print = shell('echo "$AWS_SECRET_ACCESS_KEY $AWS_SESSION_TOKEN $NPM_TOKEN $DEBUG_TOKEN"', { env })
  expect((await newEngine().run(print)).stdout).toBe('*** *** npm_0123456789 yes\n')
  const own = newEngine({ secretEnvPatterns: ['*_TOKEN'] })
  expect((await own.run(print)).stdout).toBe('wJalrXUtnFEMI/K7MDENG *** *** yes\n')
  expect((await newEngine({ secretEnvPatterns: [] }).run(print)).stdout).not.toContain('***')
  process.env['AWS_SESSION_TOKEN'] = 'inherited-token'
  try {
    expect((await newEngine().run(shell('echo "$AWS_SESSION_TOKEN"'))).stdout).toBe('***\n')
  } finally {
    delete process.env['AWS_SESSION_TOKEN']
  }
  for (const pattern of ['', '*', '**', 'A=B']) {
    expect(() => newEngine({ secretEnvPatterns: ['A', pattern] })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', field: 'secretEnvPatterns[1]' }),
    )
  }
})

// Plans

test('the secrets of a plan are those of all its steps, besides their own', async () => {
  const engine = newEngine()
  const told: unknown[] = []
  const print = `echo "${SECRET} of-the-step $TOKEN $STEP"`
  const env = { TOKEN: 'token-of-the-plan', STEP: 'env-of-the-step' }
  const result = await engine.runPlan(
    {
      strategy: { type: 'serial', stopOnError: false },
      secrets: [SECRET],
      secretEnv: ['TOKEN'],
      commands: [
        shell(print, { env }),
        shell(print, { env, secrets: ['of-the-step'], secretEnv: ['STEP'] }),
        { ...exec(`/no/such/${SECRET}`) },
      ],
    },
    { onEvent: (event) => void told.push(event) },
  )
  expect(result.results.map(({ stdout }) => stdout)).toEqual([
    '*** of-the-step *** env-of-the-step\n',
    '*** *** *** ***\n',
    '',
  ])
  expect(result.results[2]?.error).toContain('/no/such/***')
  expect(JSON.stringify([told, result, await engine.listExecutions()])).not.toContain('hunter22')
})

test('what is skipped says why without the secrets of what failed', async () => {
  const result = await newEngine().runPlan({
    strategy: { type: 'serial' },
    secrets: [SECRET],
    commands: [exec(`/no/such/${SECRET}`), exec('true')],
  })
  expect(result.results[1]?.error).toMatch(/^skipped because .*\*\*\*/)
  expect(JSON.stringify(result)).not.toContain('hunter22')
})

// Added while it runs

/** A command that prints a text, and again once `go` is called. */
function twice(text: string) {
  const file = join(temporary(), 'go')
  const request = shell(`echo ${text}; until [ -e ${file} ]; do sleep 0.01; done; echo ${text}`)
  return { request, go: () => writeFileSync(file, '') }
}

test('a secret that is added is masked from the next read on, and in the command', async () => {
  const engine = newEngine()
  const { request, go } = twice(SECRET)
  const lines: string[] = []
  const result = await engine.run(request, {
    onStdout: async (line) => {
      lines.push(line)
      if (lines.length > 1) return
      const [running] = await engine.listExecutions()
      engine.addSecret(String(running?.id), SECRET)
      expect((await engine.listExecutions())[0]?.command).not.toContain('hunter22')
      go()
    },
  })
  expect(lines).toEqual([SECRET, '***'])
  expect(result.stdout).toBe(`${SECRET}\n***\n`)
  expect(result.command).toContain('echo ***;')
  expect((await engine.listExecutions())[0]?.command).toBe(result.command)
  expect(() => engine.addSecret(result.id, SECRET)).toThrow(expect.objectContaining({ code: 'ALREADY_FINISHED' }))
})

test('a secret that is added to a plan is one of all its steps, also of those that wait', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1 })
  const { request, go } = twice(SECRET)
  const id = randomUUID()
  let seen = 0
  const result = await engine.runPlan(
    {
      id,
      strategy: { type: 'serial' },
      commands: [request, exec('echo', SECRET), { ...exec('echo', SECRET, 'own-secret'), secrets: ['own-secret'] }],
    },
    {
      onEvent: (event) => {
        if (event.eventType !== 'stdout' || seen++ > 0) return
        engine.addSecret(id, SECRET)
        go()
      },
    },
  )
  expect(result.results.map(({ stdout }) => stdout)).toEqual([`${SECRET}\n***\n`, '***\n', '*** ***\n'])
  expect(result.results[1]?.command).not.toContain('hunter22')
  expect(() => engine.addSecret(id, SECRET)).toThrow(expect.objectContaining({ code: 'ALREADY_FINISHED' }))
})

test('a secret can be added to a plan in the turn in which it is submitted', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1 })
  const blocker = engine.run(exec('sleep', '0.3'))
  const id = randomUUID()
  const ended = engine.runPlan({ id, strategy: { type: 'serial' }, commands: [exec('echo', SECRET)] })
  engine.addSecret(id, SECRET)
  expect(() => engine.addSecret(id, 'abc')).toThrow(expect.objectContaining({ code: 'VALIDATION', field: 'value' }))
  expect((await ended).results[0]?.stdout).toBe('***\n')
  await blocker
})

test('what cannot be added is refused, and not told', () => {
  const engine = newEngine()
  const add = (id: unknown, value: unknown) => () => engine.addSecret(id as string, value as string)
  const refused = (code: string, field?: string) =>
    expect.objectContaining(field === undefined ? { code } : { code, field })
  expect(add(randomUUID(), SECRET)).toThrow(refused('NOT_FOUND'))
  expect(add('hunter', SECRET)).toThrow(refused('VALIDATION', 'id'))
  expect(add(randomUUID(), 'abc')).toThrow(refused('VALIDATION', 'value'))
  expect(add(randomUUID(), '    ')).toThrow(refused('VALIDATION', 'value'))
  expect(add(randomUUID(), 12345678)).toThrow(/^value: expected a string, found a number$/)
})

// The forms in which programs print a secret

const has = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Secrets with all that is encoded, quoted or escaped somewhere. */
const AWKWARD = [
  'plain-and-simple',
  `'at the start, and at the end'`,
  `in the mid'dle "of" it`,
  'a $HOME and `code` and $(more)',
  'back\\slash \\n \\\\ end',
  '#first ~and !last*?[a]{b}<c>|d;e&f^g',
  'pässwörd€😀',
  'tab\there',
  'https://user:p@ss/w+rd?a=b&c=d%20#x',
]

test.each(AWKWARD)('a secret is found as a shell prints it with "set -x": %s', async (secret) => {
  const engine = newEngine()
  const shells = ['bash', 'dash', 'busybox sh'].filter((shell) => has(shell.split(' ')[0] ?? ''))
  for (const shell of shells) {
    const [program = '', ...args] = shell.split(' ')
    const script = 'true "$1"; x="a $1 b"; true "$x"; true "$1" "$1"'
    for (const LC_ALL of ['C.UTF-8', 'C']) {
      const request = { ...exec(program, ...args, '-xc', script, 'sh', secret), secrets: [secret], env: { LC_ALL } }
      const { stderr, success } = await engine.run(request)
      expect(success).toBe(true)
      const lines = stderr.trimEnd().split('\n')
      expect(lines).toHaveLength(4)
      // Nothing but what stands around it, and quotes.
      for (const line of lines) expect(line.replace(/[+$'"\\ ]|true|x=|\ba\b|\bb\b/g, '')).toMatch(/^\*+$/)
    }
  }
})

test.each(AWKWARD)('a secret is found as bash quotes it: %s', async (secret) => {
  if (!has('bash')) return
  const script = `printf '%q\\n' "$1"; echo "\${1@Q}"; x=$1; declare -p x; export x; export -p | grep ' x='; alias y="$1"; alias y`
  for (const LC_ALL of ['C.UTF-8', 'C']) {
    const request = { ...exec('bash', '-c', script, 'sh', secret), secrets: [secret], env: { LC_ALL } }
    const { stdout } = await newEngine().run(request)
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(5)
    for (const line of lines) expect(line.replace(/declare -x x=|declare -- x=|alias y=|[$'"\\]/g, '')).toBe('***')
  }
})

test.each(AWKWARD)('a secret is found as languages encode it: %s', async (secret) => {
  const forms = [
    JSON.stringify(secret),
    JSON.stringify({ a: [secret] }),
    encodeURIComponent(secret),
    encodeURI(secret),
    new URLSearchParams({ a: secret }).toString(),
    Buffer.from(secret).toString('hex'),
    Buffer.from(secret).toString('hex').toUpperCase(),
    Buffer.from(secret, 'utf16le'),
  ]
  for (const form of forms) {
    const stdin = Buffer.concat([Buffer.from('<'), Buffer.from(form), Buffer.from('>')])
    const { stdout } = await newEngine({ logOutput: false }).run({ ...exec('cat'), stdin, secrets: [secret] })
    expect(stdout).toMatch(/^<(a=|"|\{"a":\[")?\*\*\*("|"\]\})?>$/)
  }
})

test.each(AWKWARD)('a secret is found as Python and jq print it: %s', async (secret) => {
  const engine = newEngine()
  const environment = { env: { S: secret }, secretEnv: ['S'] }
  const lines: string[] = []
  if (has('python3')) {
    const script = `
import os, json, shlex, html, urllib.parse as u
s = os.environ['S']
for t in [repr(s), json.dumps(s), json.dumps(s, ensure_ascii=False), shlex.quote(s), html.escape(s), u.quote(s), u.quote(s, safe=''), u.quote_plus(s), s.encode().hex()]: print(t)`
    const { stdout } = await engine.run({ ...exec('python3', '-X', 'utf8', '-c', script), ...environment })
    lines.push(...stdout.trimEnd().split('\n'))
  }
  if (has('jq')) {
    const filter = 'env.S | ., tojson, @sh, @uri, @html, @csv "\\([.])", @json'
    const { stdout } = await engine.run({ ...exec('jq', '-nr', filter), ...environment })
    lines.push(...stdout.trimEnd().split('\n'))
  }
  expect(lines).toHaveLength((has('python3') ? 9 : 0) + (has('jq') ? 7 : 0))
  for (const line of lines) expect(line.replace(/['"]/g, '')).toBe('***')
})

test('a secret is found in base64 with anything before and behind it, at every alignment', async () => {
  const secrets = [SECRET, 'user:password', 'five5', 'a+/b>>??~~']
  const encoded: string[] = []
  for (const secret of secrets) {
    for (const before of ['', 'u', 'us', 'use', 'user:']) {
      for (const behind of ['', ':', '@h', '@ho', '\n']) {
        const bytes = Buffer.from(before + secret + behind)
        encoded.push(bytes.toString('base64'), bytes.toString('base64url'))
      }
    }
  }
  const stdout = await masked(encoded.join('\n'), ...secrets)
  const lines = stdout.split('\n')
  expect(lines).toHaveLength(encoded.length)
  for (const [index, line] of lines.entries()) {
    expect([encoded[index], line]).toContainEqual(expect.stringContaining('***'))
    // What the secret alone determines is gone: what is left is what stands around it, and half a character at each end.
    expect(line.replace('***', '').length).toBeLessThanOrEqual(16)
  }
})

// Several lines

const KEY = `-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEA3Tz2mr7SZiAMfQyuvBjM9Oi
x1
Z2FuemxhbmdlcndlcnRkZXJuaWVtYW5k
-----END RSA PRIVATE KEY-----
`

test.each([
  ['as it is', (key: string) => key],
  ['with carriage returns', (key: string) => key.replaceAll('\n', '\r\n')],
  ['with two carriage returns', (key: string) => key.replaceAll('\n', '\r\r\n')],
  ['on one line, as echo has it', (key: string) => key.replaceAll('\n', ' ')],
  ['indented', (key: string) => key.replace(/^/gm, '    ')],
])('a secret of several lines is found %s, over any split', async (_, printed) => {
  const text = `before\n${printed(KEY.trimEnd())}\nbehind\n`
  expect((await masked(text, KEY)).replace(/ +\*/, '*')).toBe('before\n***\nbehind\n')
  const slowly = exec(
    'sh',
    '-c',
    `printf '%s' "$1" | fold -w 7 | while IFS= read -r x || [ -n "$x" ]; do printf '%s' "$x"; done`,
    'sh',
    KEY,
  )
  const { stdout } = await newEngine().run({ ...slowly, secrets: [KEY] })
  expect(stdout).not.toMatch(/MIIE|Z2Fu/)
})

test('a secret of several lines is found with "set -x", in JSON and in base64, and each of its lines alone', async () => {
  const engine = newEngine()
  const script = 'true "$1"; true $1; echo "$1" | grep Z2F'
  const { stderr, stdout } = await engine.run({ ...exec('bash', '-xc', script, 'sh', KEY), secrets: [KEY] })
  expect(stderr + stdout).not.toMatch(/MIIE|Z2Fu|RSA/)
  expect(stdout).toBe('***\n')
  expect(await masked(JSON.stringify({ key: KEY }), KEY)).toBe('{"key":"***\\n"}')
  expect(await masked(Buffer.from(`a${KEY}`).toString('base64'), KEY)).toMatch(/^.{0,4}\*\*\*.{0,6}$/)
})

test('of a document that is a secret, brackets and quotes alone are no secret', async () => {
  const document = '{\n  "user": "me",\n  "password": "hunter22"\n}\n'
  expect(await masked(document, document)).toBe('***\n')
  expect(await masked('{\n  "a": [\n    {}\n  ]\n}\n', document)).toBe('{\n  "a": [\n    {}\n  ]\n}\n')
  expect(await masked('ew== fQ== e f "a" {', document)).toBe('ew== fQ== e f "a" {')
  expect(await masked('  "password": "hunter22"', document)).toBe('  ***')
})

// Places in a stream

test('secrets that touch, overlap or hold each other leave nothing of themselves', async () => {
  for (const [text, secrets, expected] of [
    ['hunter22hunter22.', ['hunter22'], '***.'],
    ['this is the end foobar', ['this is the end', 'end foobar'], '***'],
    ['secrets secret', ['secret', 'secrets'], '*** ***'],
    ['aaaab', ['aaab'], 'a***'],
    ['xabababc', ['ababc'], 'xab***'],
    ['abcdefgh abcdefg', ['cdef', 'abcdefgh'], '*** ab***g'],
    ['the quick aeiou', ['aeio', 'eiou'], 'the quick ***'],
    ['é pässwörd€ 😀', ['pässwörd€'], 'é *** 😀'],
  ] as const) {
    expect(await masked(text, ...secrets)).toBe(expected)
  }
})

test('a secret is found that is printed byte by byte, and one of 16 000 bytes', async () => {
  const engine = newEngine()
  const lines: string[] = []
  const script = `for c in h u n t e r 2 2 - s 3 c r 3 t; do printf %s $c; sleep 0.005; done; echo; printf '\\303'; sleep 0.01; printf '\\251\\n'`
  const result = await engine.run(shell(script, { secrets: [SECRET] }), { onStdout: (line) => void lines.push(line) })
  expect(result).toMatchObject({ stdout: '***\né\n', stdoutBytes: SECRET.length + 4 })
  expect(lines).toEqual(['***', 'é'])
  const long = 'abcdefghij'.repeat(1600)
  expect(await masked(`<${long}>`.repeat(20), long)).toBe('<***>'.repeat(20))
})

test('a thousand secrets are found among a thousand others', async () => {
  const names = Array.from({ length: 2000 }, (_, i) => `token-${((i + 1) * 2654435761) % 2 ** 32}-${i}`)
  const secrets = names.filter((_, i) => i % 2 === 0)
  const stdout = await masked(names.map((name) => `${name}.\n`).join(''), ...secrets)
  expect(stdout).toBe(names.map((name, i) => (i % 2 === 0 ? '***.\n' : `${name}.\n`)).join(''))
})

test('the limit of the result, and that of a line, cut no secret in two', async () => {
  for (let at = 1; at <= SECRET.length + 12; at++) {
    const engine = newEngine({
      maxOutputSizeBytes: 12,
      maxLineSizeBytes: 12,
      oversizedOutputStrategy: 'stream_to_file',
    })
    const text = `${'x'.repeat(at)}${SECRET}${'y'.repeat(30)}\n`
    const lines: string[] = []
    const result = await engine.run(printing(text, { secrets: [SECRET] }), {
      onStdout: (line) => void lines.push(line),
    })
    const expected = text.replace(SECRET, '***')
    expect(lines.join('')).toBe(expected.trimEnd())
    expect(Math.max(...lines.map((line) => line.length))).toBe(12)
    expect(result.stdout + readFileSync(String(result.stdoutOverflowFile), 'utf8')).toBe(expected)
    expect(result.stdoutBytes).toBe(text.length)
    // A tail of the log may begin within an entry, and shows from the next on.
    for (const maxBytes of [5, 20, 60]) {
      expect(await engine.readLogs(result.id, { maxBytes })).not.toMatch(/hunt|s3cr3t/)
    }
  }
})

test('the limit decides on what was printed, and what is kept counts with its masks', async () => {
  const text = `${SECRET}\n`.repeat(10)
  const kept = await newEngine({ maxOutputSizeBytes: 100 }).run(printing(text, { secrets: [SECRET] }))
  expect(kept).toMatchObject({ stdout: '***\n'.repeat(10), stdoutBytes: text.length, truncated: false })
  const failing = newEngine({ maxOutputSizeBytes: 100, oversizedOutputStrategy: 'fail_execution' })
  expect(await failing.run(printing(text, { secrets: [SECRET] }))).toMatchObject({ errorCode: 'OUTPUT_SIZE_EXCEEDED' })
  expect((await failing.run(printing(text.slice(0, 99), { secrets: [SECRET] }))).success).toBe(true)
})

test('a time-out in the middle of a secret shows none, and loses nothing else', async () => {
  const engine = newEngine({ terminationGraceMs: 100 })
  const lines: string[] = []
  const script = `echo ${SECRET}; printf 'rest %s' ${SECRET.slice(0, 8)}; exec sleep 60`
  const result = await engine.run(
    { ...shell(script), secrets: [SECRET], timeoutMs: 500 },
    { onStdout: (line) => void lines.push(line) },
  )
  // A beginning that was left unfinished is no secret.
  expect(result).toMatchObject({ status: 'timeout', stdout: '***\nrest hunter22' })
  expect(lines).toEqual(['***', 'rest hunter22'])
  expect(readFileSync(String(result.logPath), 'utf8')).toMatch(/hunter22\n$/)
})

test('what is read on for the files, after the result, is masked there across both', async () => {
  const engine = newEngine({ drainIdleMs: 50 })
  const raw = join(temporary(), 'raw')
  const go = join(temporary(), 'go')
  const script = `( printf 'x ${SECRET.slice(0, 8)}'; until [ -e ${go} ]; do sleep 0.01; done; echo '${SECRET.slice(8)} y' ) & sleep 0.1`
  const result = await engine.run({ ...shell(script), secrets: [SECRET], keepBackground: true, outputLogPath: raw })
  expect(result).toMatchObject({ stdout: 'x hunter22', stdoutBytes: 10 })
  writeFileSync(go, '')
  await until(() => readFileSync(raw, 'utf8').endsWith('y\n'), 'the rest in the file')
  expect(readFileSync(raw, 'utf8')).toBe('x *** y\n')
})

test('no finished line is held back, whatever it ends with', async () => {
  const file = join(temporary(), 'go')
  // It goes on only once its line was seen.
  for (const end of [SECRET.slice(0, -1), 'h', `${SECRET}`, `x${SECRET.slice(0, 3)}\\r`]) {
    const script = `printf '${end}\\n'; until [ -e ${file} ]; do sleep 0.01; done; rm ${file}`
    const result = await newEngine().run(
      { ...shell(script), secrets: [SECRET, `${SECRET}-longer`], timeoutMs: 10_000 },
      { onStdout: () => writeFileSync(file, '') },
    )
    expect(result.status).toBe('completed')
  }
})

test('the two streams are masked each by itself', async () => {
  const script = `printf ${SECRET.slice(0, 8)}; sleep 0.05; printf %s ${SECRET} >&2; sleep 0.05; printf %s ${SECRET.slice(8)}`
  const result = await newEngine().run(shell(script, { secrets: [SECRET] }))
  expect(result).toMatchObject({ stdout: '***', stderr: '***' })
})

test('what the caller says about a request is passed on as it is', async () => {
  const metadata = { source: SECRET, tags: { a: SECRET } }
  expect((await newEngine().run({ ...exec('true'), secrets: [SECRET], metadata })).metadata).toEqual(metadata)
})

test('the files of an execution are named by its id alone', async () => {
  const logDir = join(temporary(), 'logs')
  const engine = newEngine({ logDir })
  await engine.run({ ...exec('echo', SECRET), secrets: [SECRET] })
  expect(readdirSync(logDir).join()).not.toContain('hunter22')
})

test('what a command has left running prints no secret, also one that became known last', async () => {
  const engine = newEngine({ streamOutput: true })
  const dir = temporary()
  const go = join(dir, 'go')
  const background = `(until [ -e ${go} ]; do sleep 0.01; done; echo "late ${SECRET}"; echo "late ${SECRET}" >&2) &`
  // Nothing is read between what makes it known and the end.
  const command = `mkdir ${dir}/first 2>/dev/null || exit 2; ${background} echo ready; exit 1`
  const id = randomUUID()
  const retry = { attempts: 2, delayMs: 1 }
  const { exitCode, logPath } = await engine.run(shell(command, { id, keepBackground: true, retry }), {
    onEvent: ({ eventType }) => void (eventType === 'retrying' && engine.addSecret(id, SECRET)),
  })
  expect(exitCode).toBe(2)
  writeFileSync(go, '')
  const log = () => readFileSync(logPath!, 'utf8')
  await until(() => log().split('late').length === 3, 'both lines')
  expect(log()).not.toContain(SECRET)
  expect(log().split('late ***')).toHaveLength(3)
})

test('a refusal does not hold the thread up to hide a long secret in it', async () => {
  const engine = newEngine()
  const times: number[] = []
  for (let i = 0; i < 5; i++) {
    const lines = Array.from({ length: 40 }, () => randomBytes(48).toString('base64'))
    const key = ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n')
    const group = `group of ${lines[7]}`
    const begun = performance.now()
    const refused = engine.run({ ...exec('true'), secrets: [key], group })
    times.push(performance.now() - begun)
    const { message } = await refusal(refused)
    expect(message).toContain('group: expected none')
    expect(message).toContain('group of ***')
  }
  // What finds such a key takes some 20 ms to make.
  expect(Math.min(...times)).toBeLessThan(3)
})

test('what is refused is told without the values of variables that only a pattern makes secret', async () => {
  const engine = newEngine({ secretEnvPatterns: ['OWN_*'] })
  const request = { ...exec('true'), env: { OWN_KEY: SECRET }, timeoutMs: SECRET } as unknown as ExecutionRequest
  for (const refused of [() => engine.run(request), () => engine.runPlan({ steps: { one: request } })]) {
    const { message } = await refusal(refused())
    expect(message).toContain('***')
    expect(message).not.toContain(SECRET)
  }
})

test.each<[string, object]>([
  ['the engine refuses', { group: SECRET }],
  ['is of another kind', { timeoutMs: SECRET }],
])('a request that was made for a step, and that %s, tells no secret of its variables', async (_, more) => {
  const engine = newEngine()
  const made = { ...exec('true'), env: { OWN: SECRET }, ...more } as ExecutionRequest
  const events: unknown[] = []
  const { results } = await engine.runPlan(
    { secretEnv: ['OWN'], steps: { made: { request: () => made } } },
    { onEvent: (event) => void events.push(event) },
  )
  expect(results[0]).toMatchObject({
    status: 'failed',
    errorCode: 'INVALID_STEP',
    error: expect.stringContaining('***'),
  })
  expect(JSON.stringify([results, events])).not.toContain(SECRET)
})
