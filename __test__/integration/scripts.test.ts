// Scripts in the languages that people write them in, through `script`.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ExecutionEngine } from '../../index.js'

const dir = mkdtempSync(join(tmpdir(), 'engine-scripts-'))
const engine = new ExecutionEngine({ logDir: join(dir, 'logs') })

afterAll(async () => {
  await engine.shutdown()
  rmSync(dir, { recursive: true })
})

/** Words that a shell would take apart. */
const args = ['two words', '$HOME', "it's", '']

const write = (name: string, text: string, mode = 0o644): string => {
  const path = join(dir, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

const python = 'import json, sys\nprint(json.dumps(sys.argv[1:]))\nprint("warned", file=sys.stderr)\nsys.exit(3)\n'
const node = 'console.log(JSON.stringify(process.argv.slice(2)))\nconsole.error("warned")\nprocess.exitCode = 3\n'
const shell = 'for a in "$@"; do printf "<%s>" "$a"; done\necho\necho warned >&2\nexit 3\n'

const json = JSON.stringify(args)
const bracketed = args.map((arg) => `<${arg}>`).join('')

test.each([
  ['a Python file by its extension', 'a.py', python, 0o644, (text: string) => JSON.stringify(JSON.parse(text)), json],
  [
    'a Python file by its first line',
    'b',
    `#!/usr/bin/env python3\n${python}`,
    0o755,
    (text: string) => JSON.stringify(JSON.parse(text)),
    json,
  ],
  ['a Node file by its extension', 'a.js', node, 0o644, (text: string) => text, json],
  ['a Node module by its extension', 'a.mjs', node, 0o644, (text: string) => text, json],
  ['a Node file by its first line', 'c', `#!/usr/bin/env node\n${node}`, 0o755, (text: string) => text, json],
  ['a shell file by its extension', 'a.sh', shell, 0o644, (text: string) => text, bracketed],
  ['a shell file by its first line', 'd', `#!/bin/sh\n${shell}`, 0o755, (text: string) => text, bracketed],
  ['a file that says nothing, by a shell', 'e', shell, 0o644, (text: string) => text, bracketed],
])('runs %s, with its arguments, streams and exit code', async (_what, name, text, mode, read, expected) => {
  const path = write(name, text, mode)
  const result = await engine.run({ command: { type: 'script', path, args } })
  expect(result).toMatchObject({ status: 'failed', exitCode: 3, stderr: 'warned\n', error: expect.any(String) })
  expect(read(result.stdout.trimEnd())).toBe(expected)
})

test('an interpreter that is named comes before the extension', async () => {
  const path = write('misnamed.py', 'console.log("node")\n')
  const result = await engine.run({ command: { type: 'script', path, interpreter: 'node' } })
  expect(result).toMatchObject({ status: 'completed', stdout: 'node\n' })
})

test('a PowerShell script goes to pwsh, with its arguments', async () => {
  // What stands in for pwsh tells what it was called with: whether pwsh is installed is not the question here.
  const bin = mkdtempSync(join(dir, 'bin-'))
  writeFileSync(join(bin, 'pwsh'), '#!/bin/sh\nfor a in "$@"; do printf "<%s>" "$a"; done\n', { mode: 0o755 })
  const path = write('report.ps1', 'Write-Output "hello"\n')
  const result = await engine.run({
    command: { type: 'script', path, args: ['two words'] },
    env: { PATH: `${bin}:${process.env['PATH']}` },
  })
  expect(result.status).toBe('completed')
  expect(result.stdout).toContain(`<${path}><two words>`)
})
