// What the documents say is so: examples compile and run, what they name is there, tables tell the truth.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, posix } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { afterAll, expect, test } from 'vitest'
import { ExecutionEngine } from '../../index.js'
import { packagePath } from './support.js'

const root = dirname(packagePath)
const readText = (path: string): string => readFileSync(join(root, path), 'utf8')

/** A block of code: `at` is where its fence stands. */
interface Block {
  path: string
  at: string
  language: string
  code: string[]
}

/** A document, with its blocks and the lines around them. */
interface Document {
  path: string
  prose: string
  blocks: Block[]
}

function parse(path: string, text: string): Document {
  const prose: string[] = []
  const blocks: Block[] = []
  let open: Block | undefined
  for (const [i, line] of text.split('\n').entries()) {
    const fence = /^\s*(?:```|~~~)(.*)$/.exec(line)
    if (fence === null) {
      const lines = open?.code ?? prose
      lines.push(line)
    } else if (open === undefined) {
      open = { path, at: `${path}:${i + 1}`, language: fence[1] ?? '', code: [] }
      blocks.push(open)
    } else {
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`${open.at}: expected a code block that ends, found none`)
  return { path, prose: prose.join('\n'), blocks }
}

const markdownIn = (folder: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => posix.join(folder, name))

const documents = ['.', 'docs', ...readdirSync(join(root, 'npm')).map((name) => `npm/${name}`)]
  .flatMap(markdownIn)
  .map((path) => parse(path, readText(path)))

const documentNamed = (path: string): Document =>
  documents.find((document) => document.path === path) ?? expect.fail(`expected the document ${path}, found none`)

/** The examples in the comments of the types stand in the reference. */
const types = ['index.d.ts', 'plans.d.ts', 'testing.d.ts'].map((path) =>
  parse(path, readText(path).replace(/^ *\* ?/gm, '')),
)

const blocks = [...documents, ...types].flatMap(({ blocks }) => blocks)
const blocksIn = (...languages: string[]): Block[] => blocks.filter(({ language }) => languages.includes(language))

/** What stands between backticks, with where. */
const spans: [path: string, text: string][] = documents.flatMap(({ path, prose }) =>
  [...prose.matchAll(/(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/g)].map((span): [string, string] => [path, span[2] ?? '']),
)

/** The tables, line by line, cell by cell. */
const tablesIn = ({ prose }: Document): string[][][] =>
  [...prose.matchAll(/^(?:\|.*\n)+/gm)].map(([table]) =>
    table
      .trim()
      .split('\n')
      .map((line) =>
        line
          .split(/(?<!\\)\|/)
          .slice(1, -1)
          .map((cell) => cell.trim()),
      ),
  )

/** The rows of all tables whose first column has that heading. */
function rowsOf(document: Document, heading: string): string[][] {
  const tables = tablesIn(document).filter(([headings]) => headings?.[0] === heading)
  if (tables.length === 0) throw new Error(`${document.path}: expected a table of "${heading}", found none`)
  return tables.flatMap((table) => table.slice(2))
}

const withoutTicks = (text = ''): string => text.replaceAll('`', '')

test.each(blocks.map(({ at, language }) => [at, language]))('%s is in a language that is checked', (_, language) => {
  expect(['js', 'ts', 'rust', 'sh', 'text']).toContain(language)
})

// JavaScript and TypeScript: compiled as a user's project would be, and what comes out is run.

const examples = blocksIn('js', 'ts')
/** The name of its file, where an example says one: others import it from there. */
const nameOf = ({ code }: Block): string | undefined => /^\/\/ ([\w.]+\.c?[jt]s)$/.exec(code[0] ?? '')?.[1]
const fileOf = (block: Block): string => nameOf(block) ?? `${block.at.replace(/\W+/g, '-')}.m${block.language}`
const project = mkdtempSync(join(tmpdir(), 'engine-documents-'))
const compiled = join(project, 'compiled')

afterAll(() => rmSync(project, { recursive: true }))

function install(): void {
  mkdirSync(join(project, 'node_modules/@escher-dbai'), { recursive: true })
  symlinkSync(root, join(project, 'node_modules/@escher-dbai/execution-engine'))
  for (const name of ['@types', '@jest', 'vitest']) {
    symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
  }
  writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
  cpSync(join(root, '__test__/package/documents.prelude.mts'), join(project, 'prelude.mts'))
  for (const example of examples) writeFileSync(join(project, fileOf(example)), example.code.join('\n'))
  // Nothing is installed, fetched or charged to an account by an example.
  mkdirSync(join(project, 'bin'))
  for (const program of ['bin/aws', 'bin/git', 'bin/npm', 'deploy.sh']) {
    writeFileSync(join(project, program), '#!/bin/sh\n', { mode: 0o755 })
  }
}

/** Compiles the examples, and says what is wrong with each. */
function compile(): Map<string, string[]> {
  const program = ts.createProgram(
    ['prelude.mts', ...examples.map(fileOf)].map((name) => join(project, name)),
    {
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts'],
      module: ts.ModuleKind.NodeNext,
      types: ['node'],
      typeRoots: [join(project, 'node_modules/@types')],
      strict: true,
      allowJs: true,
      checkJs: true,
      // The package's own types are checked strictly by themselves.
      skipLibCheck: true,
      rootDir: project,
      outDir: compiled,
    },
  )
  const problems = new Map<string, string[]>()
  for (const { file, start, messageText } of [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics]) {
    const name = basename(file?.fileName ?? '')
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line + 1
    const problem = `line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    problems.set(name, [...(problems.get(name) ?? []), problem])
  }
  return problems
}

install()
const problems = compile()

test('what the examples take as given compiles, and nothing is wrong beside them', () => {
  const known = new Set(examples.map(fileOf))
  expect([...problems].filter(([name]) => !known.has(name))).toEqual([])
})

test.each(examples.map((example): [string, Block] => [example.at, example]))('%s compiles', (_, example) => {
  expect(problems.get(fileOf(example)) ?? []).toEqual([])
})

/** What the comments behind `console.log` say is printed: a text in quotes, or all up to an ellipsis. */
const promised = ({ code }: Block): string[] =>
  code.flatMap((line) => {
    const comment = /^\s*(?:if \(.*\) )?console\.\w+\(.*\) \/\/ (.*)$/.exec(line)?.[1]
    if (comment === undefined) return []
    return [/^'(.*?)'/.exec(comment)?.[1] ?? comment.split('…')[0]?.trim() ?? '']
  })

/** Those that say their file are the code of a test, and what it tests: testing-docs.test.ts runs them. */
const programs = examples.filter((example) => nameOf(example) === undefined)

test.each(programs.map((example): [string, Block] => [example.at, example]))(
  '%s runs, and prints what it says',
  { timeout: 30_000 },
  async (_, example) => {
    const file = join(compiled, fileOf(example).replace(/ts$/, 'js'))
    const child = spawn(process.execPath, ['--import', pathToFileURL(join(compiled, 'prelude.mjs')).href, file], {
      cwd: project,
      env: { ...process.env, PATH: `${join(project, 'bin')}:${process.env['PATH']}`, TMPDIR: project },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 25_000,
    })
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (printed += text))
    }
    const [code, signal] = await once(child, 'close')
    expect({ code, signal, printed }).toMatchObject({ code: 0, signal: null })
    for (const text of promised(example)) expect(printed.replace(/\s+/g, ' ')).toContain(text)
  },
)

// Rust: compiled and run by `cargo test`, as tests in the documentation of the crate.

test('every example in Rust stands where cargo test runs it', () => {
  const library = readText('src/lib.rs')
  const isRun = (path: string): boolean => library.includes(`#[cfg(doctest)]\n#[doc = include_str!("../${path}")]`)
  const inRust = blocksIn('rust')
  expect(inRust).not.toEqual([])
  expect(inRust.filter(({ path }) => !isRun(path)).map(({ at }) => at)).toEqual([])
})

// Commands

const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> }

/** What is wrong with a command, if its kind is known; `undefined` if it is not. */
function complaint(command: string): string | undefined {
  const [program = '', verb = '', ...rest] = command.split(/\s+/)
  const missing = (path: string): string => (existsSync(join(root, path)) ? '' : `there is no ${path}`)
  switch (program) {
    case 'npm': {
      const script = verb === 'run' ? rest[0] : verb
      if (['ci', 'pack', 'install', 'version'].includes(verb)) return ''
      return script !== undefined && script in scripts ? '' : `there is no script ${script}`
    }
    case 'node':
      return missing(verb)
    case 'cargo':
      if (verb === 'run' && rest[0] === '--example') return missing(`examples/${rest[1]}.rs`)
      return ['bench', 'build', 'check', 'doc', 'publish', 'test'].includes(verb)
        ? ''
        : `cargo ${verb} is not known here`
    default:
      return undefined
  }
}

const shellLines = blocksIn('sh').flatMap(({ at, code }) =>
  code
    .flatMap((line) => line.replace(/#.*/, '').split('&&'))
    .map((command): [string, string] => [at, command.trim()])
    .filter(([, command]) => command !== ''),
)

test.each(shellLines)('%s: "%s" can be run from a clone', (_, command) => {
  expect(complaint(command)).toBe('')
})

test('every command in the text can be run from a clone', () => {
  const commands = spans.filter(([, text]) => /^(npm|node|cargo) /.test(text))
  expect(commands.length).toBeGreaterThan(10)
  expect(commands.filter(([, command]) => complaint(command) !== '')).toEqual([])
})

// Files and links

test('every file and folder that the text names is there, or is made by a command', () => {
  const made = new Set(readText('.gitignore').split('\n'))
  const isMade = (path: string): boolean => path !== '.' && (made.has(`/${path}`) || isMade(posix.dirname(path)))
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const named = spans.filter(
    ([, text]) => folders.some(({ name }) => text.startsWith(`${name}/`)) && /^[\w./-]+$/.test(text),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter(([, name]) => !isMade(name) && !existsSync(join(root, name)))).toEqual([])
})

/** The names that GitHub gives to the headings of a document. */
function anchors({ prose }: Document): string[] {
  const seen = new Map<string, number>()
  return [...prose.matchAll(/^#+ +(.+)$/gm)].map(([, heading = '']) => {
    const name = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    const before = seen.get(name) ?? 0
    seen.set(name, before + 1)
    return before === 0 ? name : `${name}-${before}`
  })
}

const links = documents.flatMap(({ path, prose }) =>
  [...prose.replace(/`[^`\n]*`/g, '').matchAll(/\]\(([^)\s]*)[^)]*\)|^\[[^\]]+\]: *(\S+)/gm)]
    .map((link) => link[1] ?? link[2] ?? '')
    .filter((target) => !/^\w+:/.test(target))
    .map((target): [string, string] => [path, target]),
)

test.each(links)('%s links to what is there: %s', (path, target) => {
  const [file = '', anchor] = target.split('#')
  const found = file === '' ? path : posix.join(posix.dirname(path), file)
  expect(existsSync(join(root, found))).toBe(true)
  expect(anchor === undefined ? [anchor] : anchors(documentNamed(found))).toContain(anchor)
})

// Tables and lists

const tables = documents.flatMap((document) =>
  tablesIn(document).map((table): [string, string, string[][]] => [document.path, table[0]?.join(' | ') ?? '', table]),
)

test.each(tables)('%s has a whole table of %s', (_path, _headings, [headings = [], rule = [], ...rows]) => {
  expect(rule.join('')).toMatch(/^[-:]+$/)
  expect(rows).not.toEqual([])
  expect([rule, ...rows].filter((row) => row.length !== headings.length)).toEqual([])
})

test('every room that the architecture describes is there, and it describes every one', () => {
  const rooms = rowsOf(documentNamed('docs/architecture.md'), 'file')
  const files = rooms.flatMap(([cell = '']) => {
    // The second of two in one cell stands beside the first.
    const names = [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    return names.map((name) => posix.join(posix.dirname(names[0] ?? ''), basename(name)))
  })
  // What gathers or starts the others is no room of its own.
  const isGathering = (file: string) => /(^|\/)mod\.rs$|^lib\.rs$|^bench_support\.rs$/.test(file)
  const there = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => /\.(rs|sh)$/.test(file) && !isGathering(file))
  expect(there.filter((file) => !files.includes(file))).toEqual([])
  expect(files.filter((file) => !['', 'src'].some((within) => existsSync(join(root, within, file))))).toEqual([])
})

/** What `index.d.ts` declares under that name. */
function declared(name: string): ts.TypeAliasDeclaration | ts.InterfaceDeclaration {
  const source = ts.createSourceFile('index.d.ts', readText('index.d.ts'), ts.ScriptTarget.ES2022, true)
  for (const statement of source.statements) {
    const fits = ts.isTypeAliasDeclaration(statement) || ts.isInterfaceDeclaration(statement)
    if (fits && statement.name.text === name) return statement
  }
  return expect.fail(`expected index.d.ts to declare ${name}, found no such type`)
}

/** The texts of a union of texts. */
const textsOf = (name: string): string[] =>
  [
    ...declared(name)
      .getText()
      .matchAll(/'(\w+)'/g),
  ].map(([, text = '']) => text)

const commentOf = (node: ts.Node): string =>
  ts
    .getJSDocCommentsAndTags(node)
    .map((comment) => comment.getText().replace(/\n *\* ?/g, ' '))
    .join(' ')

const listed = (text: string): string[] => [...text.matchAll(/`([A-Z_]+)`/g)].map(([, code = '']) => code)

/** The number of the user, which is part of the default directory of logs. */
const uid = String(process.geteuid?.())

test('the configuration that is documented is the one that an engine has', () => {
  const valueOf = (text: string): string | number | boolean | object => {
    if (text === '{}') return {}
    if (text.includes(', ')) return text.split(', ')
    if (/^[\d ]+$/.test(text)) return Number(text.replaceAll(' ', ''))
    return text === 'true' || text === 'false' ? text === 'true' : text.replace('<tmp>', tmpdir()).replace('<uid>', uid)
  }
  const documented = rowsOf(documentNamed('docs/configuration.md'), 'field')
  const values = documented.map(([field, value]) => [withoutTicks(field), valueOf(withoutTicks(value))])
  expect(Object.fromEntries(values)).toEqual(new ExecutionEngine().config)
})

test('the types tell the default of each field of the configuration', () => {
  const { config } = new ExecutionEngine()
  const type = declared('ExecutionConfig') as ts.InterfaceDeclaration
  const told = type.members.map((member) => {
    const comment = commentOf(member)
    const [, value = ''] = /Default: `?([^.:`]+)/.exec(comment) ?? /`(\w+)`, the default/.exec(comment) ?? []
    const text = value.replace('<uid>', uid)
    return [member.name?.getText(), /^[\d ]+$/.test(text) ? text.replaceAll(' ', '') : text]
  })
  const text = (value: unknown): string => {
    if (Array.isArray(value)) return value.join(', ')
    return typeof value === 'object' ? JSON.stringify(value) : basename(String(value))
  }
  const had = Object.entries(config).map(([field, value]) => [field, text(value)])
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(had))
})

test('the codes of errors that are documented are all there are', () => {
  const codes = textsOf('ErrorCode')
  expect(codes).toContain('VALIDATION')
  expect(listed(commentOf(declared('ErrorCode')))).toEqual(codes)
  const errors = documentNamed('docs/errors.md')
  expect(rowsOf(errors, 'code').map(([code]) => withoutTicks(code))).toEqual(codes)
  const list = /^`code` is one of ([^.]+)\./m.exec(documentNamed('README.md').prose)
  expect(listed(list?.[1] ?? '')).toEqual(codes)
})

test('every status that an execution can end with is documented', () => {
  const ends = textsOf('ExecutionStatus').filter((status) => status !== 'pending' && status !== 'running')
  const documented = rowsOf(documentNamed('docs/errors.md'), '`status`').map(([status]) => withoutTicks(status))
  expect([...new Set(documented)].sort()).toEqual(ends.sort())
})

/** What a user of execa may pass, besides what is passed on to `child_process`. */
const OPTIONS_OF_EXECA =
  'preferLocal localDir node nodeOptions nodePath verbose shell cwd env extendEnv stripFinalNewline input inputFile ' +
  'stdin stdout stderr stdio all lines encoding maxBuffer buffer ipc ipcInput serialization reject timeout cancelSignal ' +
  'gracefulCancel forceKillAfterDelay killSignal detached cleanup uid gid argv0 windowsHide windowsVerbatimArguments'

test('for each option of child_process and execa the document says what it is here', () => {
  const declarations = readText('node_modules/@types/node/child_process.d.ts')
  const source = ts.createSourceFile('child_process.d.ts', declarations, ts.ScriptTarget.ES2022, true)
  const options = new Set<string>()
  const visit = (node: ts.Node): void => {
    const isOptions =
      ts.isInterfaceDeclaration(node) && /Options/.test(node.name.text) && node.name.text !== 'MessageOptions'
    if (isOptions) for (const { name } of node.members) if (name && ts.isIdentifier(name)) options.add(name.text)
    ts.forEachChild(node, visit)
  }
  visit(source)
  expect(options.size).toBeGreaterThan(15)
  const document = documentNamed('docs/migrating.md')
  const named = (heading: string): string => rowsOf(document, heading).join('\n')
  const missing = (names: Iterable<string>, text: string) =>
    [...names].filter((name) => !new RegExp(`\`${name}\\b`).test(text))
  expect(missing(options, named('option of `child_process`'))).toEqual([])
  expect(missing(OPTIONS_OF_EXECA.split(' '), named('option of execa'))).toEqual([])
})
