// The rules of the layout that no compiler checks: where Node is named, where the operating system is, where `unsafe` is
// allowed, and which way imports run.

import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { root, run } from './run.mjs'

/** @type {string[]} */
const offences = []

/**
 * The code of a Rust file, line by line. What stands in comments and text literals is blanked out: neither is code.
 *
 * @param {string} source
 */
function codeLines(source) {
  const notCode =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|\br(#*)"[\s\S]*?"\1|"(?:\\[\s\S]|[^"\\])*"|'(?:\\(?:u\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|.)|[^'\\\n])'/g
  return source.replace(notCode, (text) => text.replace(/[^\n]/g, ' ')).split('\n')
}

/** @typedef {{ what: string, pattern: RegExp, allowedIn: string[], except?: RegExp }} Rule */

/** @type {Rule[]} */
const rules = [
  {
    what: 'names napi outside src/node/',
    pattern: /\bnapi\w*/,
    allowedIn: ['src/node/', 'build.rs'],
  },
  {
    what: 'reaches into src/node/ from outside',
    pattern: /\b(?:crate|super|self)::node\b|\bmod node\b/,
    allowedIn: ['src/node/'],
    // The one line that brings the binding in.
    except: /^mod node;$/,
  },
  {
    what: 'names an operating system API outside src/process/',
    pattern:
      /\b(?:libc|windows_sys|nix|rustix)::|\bstd::os::|\buse (?:libc|windows_sys|nix|rustix)\b|\bcfg!?\(.*\b(?:unix|windows|target_os)\b/,
    allowedIn: ['src/process/'],
  },
  {
    what: 'uses unsafe outside src/process/ and src/node/',
    pattern: /\bunsafe\b/,
    allowedIn: ['src/process/', 'src/node/'],
  },
]

/** @param {string} folder */
const rustFiles = (folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.rs'))
    .map((name) => `${folder}/${name.split(sep).join('/')}`)

const files = ['build.rs', ...rustFiles('src')]
for (const file of files) {
  const lines = codeLines(readFileSync(join(root, file), 'utf8'))
  for (const { what, pattern, allowedIn, except } of rules) {
    if (allowedIn.some((place) => file.startsWith(place))) continue
    lines.forEach((line, i) => {
      if (!pattern.test(line) || except?.test(line.trim())) return
      offences.push(`${file}:${i + 1}: ${what}: ${line.trim()}`)
    })
  }
}

/** The folders and files of `src/`, each of which may import those before it, and itself. */
const floors = ['masking', 'api', 'state', 'execution', 'plan', 'engine', 'node']

/** Who may call the operating system's folder, which itself imports nothing else of the crate. */
const callers = new Set(['api', 'execution', 'plan', 'engine', 'node', 'process'])

/** The module of a file, such as `execution/output/log`. @param {string} file */
const moduleOf = (file) => file.replace(/^src\//, '').replace(/(?:\/mod)?\.rs$/, '')

const modules = new Map(files.filter((file) => file.startsWith('src/')).map((file) => [moduleOf(file), file]))

/** The longest beginning of a path that is a module. @param {string[]} path */
function moduleAt(path) {
  for (let length = path.length; length > 0; length--) {
    const name = path.slice(0, length).join('/')
    if (modules.has(name)) return name
  }
  return undefined
}

/**
 * The paths of a tree such as `a::{b::c, d}`, each as a list.
 *
 * @param {string} tree
 * @returns {string[][]}
 */
function pathsOf(tree) {
  const open = tree.indexOf('{')
  if (open === -1)
    return [
      tree
        .split(' as ')[0]
        .split('::')
        .map((part) => part.trim()),
    ]
  const head = tree
    .slice(0, open)
    .split('::')
    .map((part) => part.trim())
    .filter(Boolean)
  /** @type {string[]} */
  const branches = ['']
  let depth = 0
  for (const letter of tree.slice(open + 1, tree.lastIndexOf('}'))) {
    if (letter === '{') depth += 1
    if (letter === '}') depth -= 1
    if (letter === ',' && depth === 0) branches.push('')
    else branches[branches.length - 1] += letter
  }
  return branches
    .filter((branch) => branch.trim() !== '')
    .flatMap((branch) => pathsOf(branch).map((path) => head.concat(path)))
}

/**
 * The modules that a module takes names from. What its own parent only gathers is taken from where it is.
 *
 * @param {string} module
 * @param {string} file
 */
function importsOf(module, file) {
  const code = codeLines(readFileSync(join(root, file), 'utf8'))
    .join('\n')
    .replace(/#\[cfg\(test\)\][\s\S]*$/, '')
  const own = module.split('/')
  const uses = [...code.matchAll(/\buse ((?:crate|super|self)::[^;]+);/g)].flatMap(([, tree]) =>
    pathsOf(/** @type {string} */ (tree)),
  )
  const inline = [...code.matchAll(/\b((?:crate|super)(?:::\w+)+)/g)].map(([, path]) =>
    /** @type {string} */ (path).split('::'),
  )
  /** @type {Set<string>} */
  const found = new Set()
  for (const path of [...uses, ...inline]) {
    let base = path[0] === 'crate' ? [] : path[0] === 'super' ? own.slice(0, -1) : own
    let rest = path.slice(1)
    while (rest[0] === 'super') [base, rest] = [base.slice(0, -1), rest.slice(1)]
    const target = moduleAt([...base, ...rest])
    // A folder and what is in it are one: names that the folder itself has are no import of another module.
    const isFamily = target !== undefined && (module.startsWith(`${target}/`) || target.startsWith(`${module}/`))
    if (target !== undefined && target !== module && !isFamily) found.add(target)
  }
  return found
}

const imports = new Map([...modules].map(([module, file]) => [module, importsOf(module, file)]))

const exempt = new Set(['lib', 'bench_support'])
for (const [module, targets] of imports) {
  const [from = ''] = module.split('/')
  if (exempt.has(from)) continue
  for (const target of targets) {
    const [to = ''] = target.split('/')
    const isAllowed = to === 'process' ? callers.has(from) : floors.indexOf(to) <= floors.indexOf(from)
    if (!isAllowed) offences.push(`${modules.get(module)}: imports ${target}, which is no floor below it`)
  }
}

/** Depth first: a module that is met again on the way to it is in a circle. @type {Map<string, 'open' | 'done'>} */
const states = new Map()
/** @param {string} module @param {string[]} way */
function visit(module, way) {
  if (states.get(module) === 'done') return
  if (states.get(module) === 'open') {
    offences.push(`a circle of imports: ${[...way.slice(way.indexOf(module)), module].join(' -> ')}`)
    return
  }
  states.set(module, 'open')
  for (const target of imports.get(module) ?? []) visit(target, [...way, module])
  states.set(module, 'done')
}
for (const module of modules.keys()) visit(module, [])

const lib = readFileSync(join(root, 'src/lib.rs'), 'utf8')
if (!/#\[cfg\(feature = "node"\)\]\nmod node;/.test(lib)) {
  offences.push('src/lib.rs: expected `mod node;` once, directly below `#[cfg(feature = "node")]`')
}

let tree = ''
const args = ['tree', '--locked', '--prefix', 'none', '--edges', 'normal,build', '--target', 'all']
const status = await run('cargo', args, { onOutput: (text) => (tree += text), quiet: true })
if (status !== 0) offences.push(`cargo tree failed with exit code ${status}`)
for (const name of tree.match(/^napi\S*/gm) ?? []) {
  offences.push(`Cargo.toml: the crate without features depends on ${name}`)
}

for (const offence of offences) console.error(offence)
console.log(`boundaries: ${files.length} files, ${offences.length} offences`)
process.exitCode = offences.length > 0 ? 1 : 0
