// Commands without a shell, arguments for a shell, results as JSON, and failures as errors.

import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import {
  ExecutionError,
  ExecutionFailedError,
  quote,
  quotePowerShell,
  sh,
  type ExecutionEvent,
  type ExecutionRequest,
  type ExecutionResult,
  type PlanEvent,
} from '../../index.js'
import { exec, newEngine, shell } from './support.js'

/** As if that stood in the template. */
const written = (...raw: string[]): TemplateStringsArray => Object.assign([...raw], { raw })
const wordsOf = ({ program, args = [] }: ReturnType<typeof sh>): string[] => [program, ...args]

function thrown(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  return undefined
}

function refusal(call: () => unknown): ExecutionError {
  const error = thrown(call)
  expect(error).toBeInstanceOf(ExecutionError)
  return error as ExecutionError
}

// sh

test('a template is cut into the words of a command', async () => {
  expect(sh`git log --oneline`).toEqual({ type: 'exec', program: 'git', args: ['log', '--oneline'] })
  const { stdout } = await newEngine().run({ command: sh`printf %s, one ${'two'} 'three  four' ""` })
  expect(stdout).toBe('one,two,three  four,,')
})

test.each([
  String.raw`one  two	three`,
  String.raw`'a  b' "c  d" e'f'"g"h '' ""`,
  String.raw`\$HOME a\ b \' \" \\ \* "\$HOME \" \\ \a" '\$'`,
  String.raw`'$HOME' '*' "*" "~" '#' a#b a~b '|' "|&;<>()"`,
  'one \\\n  two',
  '"one\\\ntwo" "three\nfour"',
  String.raw`stash@{0} {} a{b "{a,b}" '{1..3}' x=y ! é😀`,
])('what is accepted is cut as a shell cuts it: %s', (text) => {
  const bySh = execFileSync('bash', ['-c', `printf '%s\\0' ${text}`], { encoding: 'utf8' })
  expect(wordsOf(sh(written(`echo ${text}`))).slice(1)).toEqual(bySh.split('\0').slice(0, -1))
})

const nasty = [
  'a b',
  '',
  '$HOME',
  '`id`',
  '$(id)',
  "it's",
  '"',
  '\\',
  'a\nb',
  '*',
  '~',
  '#',
  '-rf',
  '{a,b}',
  '|',
  '; id',
]

test.each(nasty)('a value is one argument, or a part of one: %j', (value) => {
  expect(sh`echo ${value}`.args).toEqual([value])
  expect(sh`echo --name=${value}.txt`.args).toEqual([`--name=${value}.txt`])
  expect(sh`echo "the ${value}" '${value}'${value}`.args).toEqual([`the ${value}`, value + value])
})

test('a program may be a value', () => {
  expect(wordsOf(sh`${'/a b/$x'} y`)).toEqual(['/a b/$x', 'y'])
})

test('numbers are arguments, arrays are several or none', () => {
  expect(wordsOf(sh`head -n ${5} ${['a b', 'c', 7]} ${[]} end`)).toEqual(['head', '-n', '5', 'a b', 'c', '7', 'end'])
  expect(wordsOf(sh`${['git', 'log']}`)).toEqual(['git', 'log'])
  expect(
    wordsOf(sh`
    git log
  `),
  ).toEqual(['git', 'log'])
})

test.each([
  ['a | b', '|'],
  ['a && b', '&'],
  ['a &', '&'],
  ['a; b', ';'],
  ['a > b', '>'],
  ['a < b', '<'],
  ['a 2>&1', '>'],
  ['(a)', '('],
  ['a $HOME', '$'],
  ['a "$HOME"', '$'],
  ['a `id`', '`'],
  ['a "`id`"', '`'],
  ['a *.js', '*'],
  ['a ?', '?'],
  ['a [ab]', '['],
  ['a {b,c}', '{b,c}'],
  ['a x{1..3}', '{1..3}'],
  ['a ~/b', '~'],
  ['a #b', '#'],
  ['A=1 b', 'A='],
  ['! a', '!'],
  ['a\nb', '\\n'],
])('what only a shell can do is refused, and the way to a shell told: %j', (text, found) => {
  const error = refusal(() => sh(written(text)))
  expect(error).toMatchObject({ code: 'VALIDATION', field: 'template' })
  expect(error.message).toContain(`found "${found}"`)
  expect(error.message).toContain("{ type: 'shell' } with quote()")
})

test.each<[string, () => unknown, string]>([
  ['a value that is not there', () => sh`a ${undefined as never}`, 'values[0]'],
  ['an object', () => sh`a ${'b'} ${{} as never}`, 'values[1]'],
  ['a number that is none', () => sh`a ${Number.NaN}`, 'values[0]'],
  ['an object in a list', () => sh`a ${['b', null as never]}`, 'values[0][1]'],
  ['a hole in a list', () => sh`a ${Array(1)}`, 'values[0][0]'],
  ['a list within a word', () => sh`a b=${['c', 'd']}`, 'values[0]'],
  ['a list before a word', () => sh`a ${['c', 'd']}b`, 'values[0]'],
  ['a list within quotes', () => sh`a "${['c', 'd']}"`, 'values[0]'],
  ['a NUL byte', () => sh`a ${'b\0'}`, 'values[0]'],
  ['half of a character', () => sh`a ${'\ud800'}`, 'values[0]'],
  ['a quote that does not end', () => sh`a "b`, 'template'],
  ['no program', () => sh``, 'template'],
  ['an empty program', () => sh`${''} a`, 'template'],
  ['a call without a template', () => sh('git log' as never), 'template'],
])('refused: %s', (_, call, field) => {
  expect(refusal(call)).toMatchObject({ code: 'VALIDATION', field })
})

// quote

test.each(['sh', 'bash'])('%s reads nothing in a quoted text as syntax', (program) => {
  const texts = [...nasty, "''", "'; id; '", "\\'", 'a\r\n\tb', 'é😀', 'while', '!!', '%s']
  const command = `printf '%s\\0' ${texts.map(quote).join(' ')}`
  const printed = execFileSync(program, ['-c', command], { encoding: 'utf8' })
  expect(printed.split('\0').slice(0, -1)).toEqual(texts)
})

test('a word that would be a keyword is none once it is quoted', () => {
  expect(refusalOfShell(`${quote('if')} true`)).toContain('not found')
})

function refusalOfShell(command: string): string {
  try {
    return execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    return String((error as { stderr: string }).stderr)
  }
}

test('in PowerShell every kind of single quote is doubled, and nothing else has a meaning', () => {
  expect(quotePowerShell("a 'b' \u2018c\u2019 \u201ad\u201b $x `n \"")).toBe(
    "'a ''b'' \u2018\u2018c\u2019\u2019 \u201a\u201ad\u201b\u201b $x `n \"'",
  )
})

test.each([quote, quotePowerShell])('what no shell can be given is refused', (quoted) => {
  expect(refusal(() => quoted('a\0b'))).toMatchObject({ code: 'VALIDATION', field: 'text' })
  expect(refusal(() => quoted(5 as never)).message).toBe('text: expected a string, found 5')
  expect(refusal(() => quoted(undefined as never)).stack).toMatch(/\n +at .*convenience\.test\.ts/)
})

// json()

test('what was printed is read as JSON, wherever the result comes from', async () => {
  const engine = newEngine()
  const events: (ExecutionEvent | PlanEvent)[] = []
  const request = shell(`echo '{ "a": [1, "b"] }'`)
  const result = await engine.run(request, { onEvent: (event) => void events.push(event) })
  const plan = await engine.runPlan(
    { strategy: { type: 'serial' }, commands: [request] },
    { onEvent: (event) => void events.push(event) },
  )
  const told = events.flatMap((event) => ('result' in event ? [event.result] : []))
  const results = told.flatMap((told) => ('results' in told ? told.results : [told]))
  expect(results).toHaveLength(3)
  results.push(result, await engine.getResult(result.id), await engine.waitForCompletion(result.id), ...plan.results)
  for (const result of results) expect(result.json()).toEqual({ a: [1, 'b'] })
})

test('json is no part of the data of a result', async () => {
  const result = await newEngine().run(exec('echo', '1'))
  expect(Object.keys(result)).not.toContain('json')
  expect({ ...result }).not.toHaveProperty('json')
  expect(JSON.stringify(result)).not.toContain('"json"')
  expect(structuredClone(result)).toEqual(result)
})

async function jsonFault(command: string, config = {}): Promise<string> {
  const result = await newEngine(config).run(shell(command))
  const error = thrown(() => result.json())
  expect(error).toBeInstanceOf(SyntaxError)
  return (error as Error).message
}

test.each([
  ['printf hello', 'is no JSON: found "h" at position 0, in line 1, near "hello"'],
  [`printf '{"a":1,}'`, 'is no JSON: found "}" at position 7, in line 1'],
  [`printf '{"a":1}\\n{"b":2}\\n'`, 'is no JSON: found "{" at position 8, in line 2'],
  [`printf '[1, 2'`, 'is no JSON: found its end at position 5'],
  [`printf '"a\\\\"'`, 'is no JSON: found its end at position 4'],
  [`printf '["a" "b"]'`, 'is no JSON: found "\\"" at position 5'],
  [`printf '{"a" 1}'`, 'is no JSON: found "1" at position 5'],
  [`printf '{1:2}'`, 'is no JSON: found "1" at position 1'],
  [`printf '"\\\\q"'`, 'is no JSON: found "\\\\" at position 1'],
  [`printf 'nul'`, 'is no JSON: found "n" at position 0'],
  [`printf '[[[1]]'`, 'is no JSON: found its end at position 6'],
  ['true', '`true` (completed) is empty'],
  ['echo; exit 3', '(failed: exited with code 3) is empty'],
])('what is no JSON is told, with its place: %s', async (command, message) => {
  expect(await jsonFault(command)).toContain(message)
})

test.each(['truncate_with_warning', 'fail_execution', 'stream_to_file'] as const)(
  'output that is not whole is never read as something else: %s',
  async (oversizedOutputStrategy) => {
    const fault = await jsonFault('printf 123456', { maxOutputSizeBytes: 3, oversizedOutputStrategy })
    expect(fault).toMatch(/more than maxOutputSizeBytes/)
  },
)

test('a mark of the byte order is passed over, and a failure may tell of itself in JSON', async () => {
  const result = await newEngine().run(shell(`printf '\\357\\273\\277{"error": "x"}'; exit 4`))
  expect(result).toMatchObject({ status: 'failed', exitCode: 4 })
  expect(result.json()).toEqual({ error: 'x' })
})

// throwOnFailure

async function failure(request: ExecutionRequest, config = {}): Promise<ExecutionFailedError> {
  const engine = newEngine(config)
  const error = await engine.run(request, { throwOnFailure: true }).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(ExecutionFailedError)
  return error as ExecutionFailedError
}

test('with throwOnFailure a failure rejects, and the error holds the result', async () => {
  const error = await failure(shell('echo out; echo first >&2; echo last >&2; exit 2'))
  expect(error).toMatchObject({
    name: 'ExecutionFailedError',
    result: { status: 'failed', exitCode: 2, stdout: 'out\n' },
  })
  expect(error.message).toBe(
    '`echo out; echo first >&2; echo last >&2; exit 2`: exited with code 2\nthe end of its stderr:\nfirst\nlast',
  )
})

test('its stack begins at the line of the call', async () => {
  const { stack, message } = await failure(exec('false'))
  const frames = stack?.replace(message, '').split('\n').slice(1) ?? []
  expect(frames[0]).toContain('convenience.test.ts')
  expect(stack).not.toMatch(/\/lib\/|\/index\.js/)
})

test.each<[string, ExecutionRequest, string]>([
  ['a signal', shell('kill -9 $$'), 'ended by SIGKILL'],
  ['a deadline', { ...exec('sleep', '60'), timeoutMs: 50 }, 'timed out after 50 ms'],
  ['a program that does not exist', exec('no-such-program-here'), 'no-such-program-here'],
])('every end but success rejects: %s', async (_, request, words) => {
  expect((await failure(request)).message).toContain(words)
})

test('a cancel rejects as well', async () => {
  const running = newEngine().run(exec('sleep', '60'), { throwOnFailure: true, signal: AbortSignal.timeout(50) })
  await expect(running).rejects.toMatchObject({ name: 'ExecutionFailedError', message: '`sleep 60`: cancelled' })
})

test('the message shows the end of what was printed, without what a terminal would obey', async () => {
  const { message } = await failure(shell(`seq 1 5000 >&2; printf '\\033[31mred\\033[0m\\007\\n' >&2; exit 1`))
  const lines = message.split('\n')
  expect(lines.slice(-2)).toEqual(['5000', 'red'])
  expect(lines).toHaveLength(2 + 20)
  const long = await failure(shell(`head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1`))
  expect(long.message.length).toBeLessThan(5000)
})

test('where nothing was printed to standard error, the end of the output is shown', async () => {
  expect((await failure(shell('echo broken; exit 1'))).message).toContain('the end of its stdout:\nbroken')
  expect((await failure(exec('false'))).message).toBe('`false`: exited with code 1')
})

test('success resolves, and a refused request is refused as ever', async () => {
  const engine = newEngine()
  expect(await engine.run(exec('true'), { throwOnFailure: true })).toMatchObject({ success: true })
  expect(await engine.run(exec('false'), { throwOnFailure: false })).toMatchObject({ success: false })
  await expect(engine.run(exec(''), { throwOnFailure: true })).rejects.toMatchObject({ code: 'VALIDATION' })
  await expect(engine.run(exec('true'), { throwOnFailure: 1 as never })).rejects.toMatchObject({
    code: 'VALIDATION',
    field: 'options.throwOnFailure',
  })
})

test('only run waits for an end that it can throw: elsewhere the option is refused', async () => {
  const engine = newEngine()
  const options = { throwOnFailure: true } as object
  const plan = { strategy: { type: 'serial' }, commands: [] } as const
  for (const call of [
    () => engine.execute(exec('true'), options),
    () => engine.runPlan(plan, options),
    () => engine.executePlan(plan, options),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'VALIDATION', field: 'options.throwOnFailure' })
  }
})

test('an error of a failure can be made for a test', () => {
  const result = { command: 'x', status: 'cancelled', error: null, stdout: '', stderr: '' } as ExecutionResult
  expect(new ExecutionFailedError(result)).toMatchObject({ message: '`x`: cancelled', result })
})
