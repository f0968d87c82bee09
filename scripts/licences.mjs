// Writes THIRD-PARTY-LICENSES: what is compiled into the addon of any platform, and under which licences. With `--check`
// nothing is written: it fails where something else is checked in.

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root, run } from './run.mjs'

const FILE = 'THIRD-PARTY-LICENSES'
/** The addon's. */
const PACKAGE = 'escher-execution-engine'

/** Licences that ask for no more than to be passed on with what is under them. */
const ACCEPTED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BSL-1.0',
  'CC0-1.0',
  'ISC',
  'LLVM-exception',
  'MIT',
  'MIT-0',
  'Unicode-3.0',
  'Unlicense',
  'Zlib',
])

/** @typedef {{ name: string, version: string, license: string | null, license_file: string | null, manifest_path: string, repository: string | null }} Crate */
/** @param {string} file */
const read = (file) => readFileSync(file, 'utf8').replaceAll('\r\n', '\n')

/** What cargo prints. @param {string[]} args */
async function cargo(args) {
  let printed = ''
  const status = await run('cargo', args, { onOutput: (text) => (printed += text), quiet: true })
  if (status !== 0) throw new Error(`cargo ${args.join(' ')} failed:\n${printed}`)
  return printed
}

/** All crates that the workspace may need, by name and version. @returns {Promise<Map<string, Crate>>} */
async function knownCrates() {
  const printed = await cargo(['metadata', '--locked', '--format-version=1', '--features=node'])
  // What cargo says of its own work stands before it.
  /** @type {{ packages: Crate[] }} */
  const { packages } = JSON.parse(printed.slice(printed.indexOf('{"packages"')))
  return new Map(packages.map((crate) => [`${crate.name} v${crate.version}`, crate]))
}

/**
 * The crates that become a part of the addon for a target: not what only builds it, and not what other members of the
 * workspace ask for.
 *
 * @param {string} target
 */
async function compiledFor(target) {
  const what = ['tree', '--locked', `--package=${PACKAGE}`, '--features=node', `--target=${target}`]
  const printed = await cargo([...what, '--edges=normal,no-proc-macro', '--prefix=none', '--format={p}'])
  const found = [...printed.matchAll(/^(\S+ v\S+)/gm)].map(([, crate = '']) => crate)
  return [...new Set(found)].filter((crate) => !crate.startsWith(`${PACKAGE} `))
}

/** The texts to be passed on. Where MIT is one of several to choose from, it is chosen. @param {Crate} crate */
function textsOf({ name, version, license, license_file: named, manifest_path: manifest }) {
  const unknown = (license ?? 'none')
    .split(/[\s/()]+/)
    .filter((word) => !/^(?:AND|OR|WITH|)$/.test(word) && !ACCEPTED.has(word))
  if (unknown.length > 0) throw new Error(`${name} ${version}: expected a licence that is accepted, found ${license}`)
  const dir = dirname(manifest)
  const files = readdirSync(dir).filter((file) => /^(?:licen[cs]e|copying|notice|unlicense)/i.test(file))
  const mit = /\bOR\b|\//.test(String(license)) ? files.filter((file) => /mit/i.test(file)) : []
  const chosen = mit.length > 0 ? mit : named === null ? files : [named]
  return chosen.filter((file) => existsSync(join(dir, file))).map((file) => read(join(dir, file)).trim())
}

const { napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
/** @type {Map<string, Crate>} */
const crates = new Map()
const known = await knownCrates()
for (const target of napi.targets) {
  for (const name of await compiledFor(target)) {
    const crate = known.get(name)
    if (crate === undefined) throw new Error(`expected ${name} among the crates of the workspace, found it nowhere`)
    crates.set(name, crate)
  }
}
const sorted = [...crates.values()].sort((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1))

/** Who is under each text. @type {Map<string, string[]>} */
const holders = new Map()
const terms = read(join(root, 'LICENSE-MIT'))
const permission = terms.slice(terms.indexOf('Permission is hereby granted')).trim()
/** @param {string} text @param {string} holder */
const add = (text, holder) => holders.set(text, [...(holders.get(text) ?? []), holder])
add(`Copyright (c) The Rust Project Contributors\n\n${permission}`, 'the standard library of Rust')
for (const crate of sorted) {
  const texts = textsOf(crate)
  if (texts.length === 0 && !/\bMIT\b/.test(String(crate.license))) {
    throw new Error(`${crate.name} ${crate.version}: expected the text of its licence, found none`)
  }
  // Its package has no text of its own; the terms are the same.
  if (texts.length === 0) texts.push(`Copyright (c) the authors of ${crate.name}\n\n${permission}`)
  for (const text of texts) add(text, `${crate.name} ${crate.version}`)
}

const line = '-'.repeat(80)
const wanted = `${[
  'The addon contains the following software. Which of it depends on the platform.',
  [
    'the standard library of Rust: MIT OR Apache-2.0, https://github.com/rust-lang/rust',
    ...sorted.map(
      ({ name, version, license, repository }) =>
        `${name} ${version}: ${license}${repository ? `, ${repository}` : ''}`,
    ),
  ].join('\n'),
  ...[...holders].map(([text, names]) => `${line}\n${names.join('\n')}\n${line}\n\n${text}`),
].join('\n\n')}\n`

const path = join(root, FILE)
const differs = !existsSync(path) || read(path) !== wanted
const isCheck = process.argv.includes('--check')
if (!isCheck) writeFileSync(path, wanted)
else if (differs) {
  console.error(`licences: ${FILE} does not tell what is compiled in; \`npm run licences\` writes it`)
  process.exitCode = 1
}
console.log(`licences: ${crates.size} crates, ${isCheck ? (differs ? 'differ' : 'current') : 'written'}`)
