import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { loadLibrary, loadPlaybook } from '../src/playbook/load.js'
import { Playbook } from '../src/playbook/schema.js'
import { folder, playbook, write } from './support.js'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What is wrong with a playbook, without the name of the file. */
async function faults(content: Record<string, unknown> | string): Promise<string[]> {
  const file = write(folder(), content)
  try {
    await loadPlaybook(file)
    return []
  } catch (error) {
    const lines = error instanceof Error ? error.message.split('\n') : []
    for (const line of lines) expect(line.startsWith(`${file}:`)).toBe(true)
    return lines.map((line) => line.slice(file.length + 1))
  }
}

const region = { parameters: { region: { type: 'string' } } }
const token = { parameters: { token: { type: 'string', secret: true } } }
const echo = (...args: unknown[]): Record<string, unknown> => ({ command: { type: 'exec', program: 'echo', args } })

test('the playbooks that come with it are playbooks', async () => {
  const { playbooks, problems } = await loadLibrary(join(root, 'playbooks'))
  expect(problems).toEqual([])
  expect([...playbooks.keys()]).toEqual(['audit-regions', 'backup', 'deploy', 'hello'])
})

test('the schema that editors read is the one that is checked', () => {
  const written: unknown = JSON.parse(readFileSync(join(root, 'playbook.schema.json'), 'utf8'))
  expect(written).toEqual(JSON.parse(JSON.stringify(Playbook)))
})

test('what is no JSON is told with its place', async () => {
  expect(await faults('{\n  "name": "a",\n  "steps": {,}\n}')).toEqual(
    expect.arrayContaining([expect.stringMatching(/^3:13: is no JSON: /)]),
  )
  expect(await faults('')).toEqual([expect.stringMatching(/^1:1: /)])
})

test('a key that is there twice is told: the second would hide the first', async () => {
  const text = '{ "name": "a", "steps": {\n  "x": { "command": { "type": "exec", "program": "true" } },\n  "x": {} } }'
  expect(await faults(text)).toEqual(['3:3: steps.x: is there twice'])
})

test.each([
  [
    'an unknown key',
    { steps: { a: { ...echo(), retrys: 3 } } },
    /^1?\d*:\d+: steps\.a\.retrys: is not known here: expected one of command, /,
  ],
  ['a missing command', { steps: { a: {} } }, /steps\.a\.command: is missing$/],
  ['no steps', { steps: {} }, /steps: must NOT have fewer than 1 properties/],
  [
    'a type of command that there is none of',
    { steps: { a: { command: { type: 'exe' } } } },
    /steps\.a\.command\.type: expected exec, shell, script or aws_cli, found "exe"$/,
  ],
  [
    'a number in place of a text',
    { steps: { a: echo(1) } },
    /steps\.a\.command\.args\[0\]: expected a text, .*, found 1$/,
  ],
  [
    'what the schema of the engine refuses',
    { steps: { a: { ...echo(), retry: { attempts: 0 } } } },
    /steps\.a\.retry\.attempts: must be >= 1, found 0$/,
  ],
  [
    'a word that is none of an enumeration of the engine',
    { steps: { a: { ...echo(), when: 'never' } } },
    /steps\.a\.when: expected one of \["success","failure","always"\], found "never"$/,
  ],
  ['a name with a space', { steps: { 'a b': echo() } }, /steps\.a b: expected a name of letters, digits, _ and -$/],
  [
    'a dependency that there is none of',
    { steps: { a: { ...echo(), dependsOn: ['b'] } } },
    /steps\.a\.dependsOn\[0\]: expected the name of a step, found "b"/,
  ],
  [
    'a cycle',
    { steps: { a: { ...echo(), dependsOn: ['b'] }, b: { ...echo(), dependsOn: ['a'] } } },
    /steps\.a\.dependsOn: expected no cycle, found a -> b -> a/,
  ],
  [
    'a service that is an option',
    { steps: { a: { command: { type: 'aws_cli', service: '-x', operation: 'y' } } } },
    /steps\.a\.command\.service: /,
  ],
  [
    'a parameter that there is none of',
    { ...region, steps: { a: echo('${zone}') } },
    /steps\.a\.command\.args\[0\]: there is no parameter zone: there is region$/,
  ],
  ['a reference without its end', { ...region, steps: { a: echo('${region') } }, /expected \} behind \$\{/],
  ['a step in an output that there is none of', { steps: { a: echo('${b.c}') } }, /b\.c: there is no step b$/],
  [
    'an output that a step has not',
    { steps: { a: echo(), b: { ...echo('${a.c}'), dependsOn: ['a'] } } },
    /a\.c: a has no such output: it has none$/,
  ],
  [
    'an output of a step that may still run',
    { steps: { a: { ...echo(), outputs: { c: 'c' } }, b: echo('${a.c}') } },
    /a\.c: b does not depend on a$/,
  ],
  [
    'a path that cannot be read',
    { steps: { a: { ...echo(), outputs: { c: '[' } } } },
    /steps\.a\.outputs\.c: expected a JMESPath/,
  ],
  [
    'a default of another type',
    { parameters: { n: { type: 'integer', default: 'x' } }, steps: { a: echo() } },
    /parameters\.n\.default: expected a whole number, found "x"$/,
  ],
  [
    'a secret with a default',
    { parameters: { n: { type: 'string', secret: true, default: 'hunter22' } }, steps: { a: echo() } },
    /parameters\.n\.default: a secret does not stand in a file$/,
  ],
  [
    'a secret among arguments',
    { ...token, steps: { a: echo('--token=${token}') } },
    /args\[0\]: token is a secret, and everybody on the machine can read arguments/,
  ],
  [
    'a text around a parameter without a value',
    { parameters: { n: { type: 'string', required: false } }, steps: { a: echo('x${n}') } },
    /n may have no value: it can only stand alone/,
  ],
])('%s is refused, with its path', async (_what, content, expected) => {
  const found = await faults({ name: 'test', ...content })
  expect(found).toEqual(expect.arrayContaining([expect.stringMatching(expected)]))
})

test('all faults are told at once, each with its line', async () => {
  const text = '{\n  "name": "a",\n  "steps": {\n    "x": { "comand": {} },\n    "y": 1\n  }\n}'
  const found = await faults(text)
  expect(found.map((fault) => fault.split(':')[0])).toEqual(expect.arrayContaining(['4', '5']))
})

const shell = (command: string, more: Record<string, unknown> = {}): Record<string, unknown> =>
  playbook('test', { a: { command: { type: 'shell', command, ...more }, env: { REGION: '${region}' } } }, region)

test.each([
  'aws --region "$REGION" ec2 ls',
  'echo "in ${REGION}"',
  'x="$REGION"; echo done',
  'echo "$(printf %s "$REGION")"',
  'echo "${REGION:-none}"',
  `bash -c 'echo "$1"' _ "$REGION"`,
  `bash -c 'echo "$REGION"'`,
  '[ "$REGION" = eu ] && [[ "$REGION" == eu* ]]',
  'case "$REGION" in eu*) echo "it\'s Europe" ;; esac # not "$this',
  'REGION=other; echo x',
  'for i in 1 2; do printf "%s\\n" "$REGION"; done | sort',
])('a parameter is a quoted variable in the text of a shell: %s', async (command) => {
  expect(await faults(shell(command))).toEqual([])
})

test.each([
  ['echo $REGION', 'has to stand in double quotes'],
  ['echo ${REGION}', 'has to stand in double quotes'],
  ['echo "a"$REGION', 'has to stand in double quotes'],
  ['echo "a "$REGION" b"', 'has to stand in double quotes'],
  ['echo "$(ls $REGION)"', 'has to stand in double quotes'],
  ['echo `ls $REGION`', 'has to stand in double quotes'],
  [`echo 'it' # "'\necho $REGION`, 'has to stand in double quotes'],
  ["cat <<EOF\nit's $REGION\nEOF", 'may not stand in a here-document'],
  ["cat <<EOF\nit's\nEOF\nrm $REGION", 'has to stand in double quotes'],
  ['eval "$REGION"', 'is read once more there'],
  ['eval "x $(echo "$REGION")"', 'is read once more there'],
  ['bash -c "echo $REGION"', 'is read once more there'],
  ['sudo sh -ec "$REGION"', 'is read once more there'],
  ['ssh host "ls $REGION"', 'is read once more there'],
  ['trap "$REGION" EXIT', 'is read once more there'],
  ['"$REGION" --version', 'is the name of a command there'],
  ['echo $((REGION + 1))', 'is read as an expression there'],
  ['echo "$(( $REGION ))"', 'is read as an expression there'],
  ['[[ "$REGION" -eq 1 ]]', 'is read as an expression there'],
  ['echo "${!REGION}"', 'names another variable there'],
  ['echo "$REGION', 'cannot be read as the text of a shell'],
])('a parameter that the shell would read is refused: %s', async (command, expected) => {
  expect(await faults(shell(command))).toEqual([expect.stringContaining(`steps.a.command.command: `)])
  expect((await faults(shell(command)))[0]).toContain(expected)
})

test('a parameter that was meant to get into the text of a shell is told how it can', async () => {
  const found = await faults(playbook('test', { a: 'echo "${region}"' }, region))
  expect(found).toEqual([expect.stringContaining('add "region": { "param": "region" } to env')])
})

test('of another shell nobody knows how it quotes', async () => {
  expect(await faults(shell('echo "$REGION"', { shell: 'fish' }))).toEqual([
    expect.stringContaining('steps.a.command.shell'),
  ])
  expect(await faults(shell('echo "$REGION"', { shell: '/bin/dash' }))).toEqual([])
})

test.each([
  ['bash', ['-c', '${region}']],
  ['bash', ['-ec', { param: 'region' }]],
  ['env', ['A=1', '/bin/sh', '-c', 'ls ${region}']],
  ['powershell', ['-Command', 'Get-Item', '${region}']],
])('a program that is a shell gets no parameter as its text: %s %j', async (name, args) => {
  const content = playbook('test', { a: { command: { type: 'exec', program: name, args } } }, region)
  expect(await faults(content)).toEqual([expect.stringContaining('no parameter gets into what a shell is to run')])
})

test('behind the text of a shell its arguments are no code', async () => {
  const args = ['-c', 'ls "$1"', '_', '${region}']
  expect(await faults(playbook('test', { a: { command: { type: 'exec', program: 'bash', args } } }, region))).toEqual(
    [],
  )
})
