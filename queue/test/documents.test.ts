// What the README says is so: its examples compile and run, and what it names is there.

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, type Server } from './support/server.mjs'
import { startWorker, type WorkerProcess } from './support/workers.mjs'

const home = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(home, 'README.md'), 'utf8')

interface Example {
  readonly file: string
  readonly code: string
}

const examples: [file: string, example: Example][] = [...readme.matchAll(/^```(js|ts)\n([\s\S]*?)^```/gm)].map(
  ([, language, code = ''], i) => {
    const file = `example-${i + 1}.m${language}`
    return [file, { file, code }]
  },
)

const project = mkdtempSync(join(tmpdir(), 'queue-documents-'))
const compiled = join(project, 'compiled')
let server: Server
let worker: WorkerProcess

mkdirSync(join(project, 'node_modules/@escher-dbai'), { recursive: true })
symlinkSync(home, join(project, 'node_modules/@escher-dbai/execution-queue'))
symlinkSync(join(home, '..'), join(project, 'node_modules/@escher-dbai/execution-engine'))
symlinkSync(join(home, 'node_modules/@types'), join(project, 'node_modules/@types'))
writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
cpSync(join(home, 'test/documents.prelude.mts'), join(project, 'prelude.mts'))
for (const [file, { code }] of examples) writeFileSync(join(project, file), code)

/** Compiles them as a project of a user would be, and says what is wrong with which. */
function compile(): string[] {
  const program = ts.createProgram(
    ['prelude.mts', ...examples.map(([file]) => file)].map((name) => join(project, name)),
    {
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts'],
      module: ts.ModuleKind.NodeNext,
      types: ['node'],
      typeRoots: [join(project, 'node_modules/@types')],
      strict: true,
      allowJs: true,
      checkJs: true,
      skipLibCheck: true,
      preserveSymlinks: true,
      rootDir: project,
      outDir: compiled,
    },
  )
  return [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics].map(
    ({ file, messageText }) =>
      `${basename(file?.fileName ?? '')}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
  )
}

const problems = compile()

beforeAll(async () => {
  server = await startServer()
  // The example about secrets has a worker of its own; whoever takes the request finds a value.
  process.env['DB_PASSWORD'] = 'a value that nobody sees'
  worker = await startWorker({ connection: server.connection, engine: { logOutput: false } })
  delete process.env['DB_PASSWORD']
})

afterAll(async () => {
  await worker.kill()
  await server.close()
  rmSync(project, { recursive: true })
})

test('the examples compile', () => {
  expect(examples.length).toBeGreaterThan(3)
  expect(problems).toEqual([])
})

/** Runs a program, and resolves with what it has printed. */
const run = (args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: unknown; printed: string }> =>
  new Promise((resolve) => {
    const options = { cwd: project, env: { ...process.env, ...env }, timeout: 25_000 }
    execFile(process.execPath, args, options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), printed: stdout + stderr }),
    )
  })

test.each(examples)('%s runs, and prints what it says', async (file, { code }) => {
  const args = ['--import', pathToFileURL(join(compiled, 'prelude.mjs')).href, join(compiled, file)]
  const { code: exit, printed } = await run(args, { DOCUMENTS_PORT: String(server.port) })
  expect({ exit, printed }).toMatchObject({ exit: 0 })
  for (const [, said] of code.matchAll(/console\.log\(.*\)[,]? \/\/ '?([^'\n]*)'?$/gm)) {
    expect(printed.replace(/\s+/g, ' ')).toContain(said)
  }
})

test('the example of the dashboard shows what ran, and traces it', async () => {
  const { code, printed } = await run([join(home, 'examples/dashboard.mjs'), server.url])
  expect({ code, printed }).toMatchObject({ code: 0 })
  expect(printed).toContain('completed failed\n')
  expect(printed).toMatch(/executions: \d+ completed, [1-9]\d* failed/)
  expect(printed).toMatch(/span: .*executions/)
})

test('what the README links to is there', () => {
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target = '']) => target)
  expect(links.filter((target) => !existsSync(join(home, target)))).toEqual([])
})
