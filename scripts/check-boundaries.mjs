// The rules of the layout that no compiler checks: where Node is named, where the operating system is, and where
// `unsafe` is allowed.

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
    pattern: /\b(?:libc|windows_sys|nix|rustix)::|\bstd::os::|\buse (?:libc|windows_sys|nix|rustix)\b/,
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
