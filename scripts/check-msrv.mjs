// Whether the oldest Rust that Cargo.toml names is enough for what the crate and the addon are built with, on every
// platform. Clippy checks the crate's own use of the standard library.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './run.mjs'

/** @typedef {{ id: string, name: string, version: string, rust_version: string | null }} Package */
/** @typedef {{ pkg: string, dep_kinds: { kind: string | null }[] }} Dependency */

/** @param {string} version @returns {number} */
function number(version) {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  return major * 1e6 + minor * 1e3 + patch
}

let output = ''
const args = ['metadata', '--locked', '--format-version=1', '--all-features']
const status = await run('cargo', args, { onOutput: (text) => (output += text), quiet: true })
if (status !== 0) throw new Error(`cargo metadata failed with exit code ${status}`)
/** @type {{ packages: Package[], resolve: { root: string, nodes: { id: string, deps: Dependency[] }[] } }} */
const { packages, resolve } = JSON.parse(output)

/** What the root is built with, and not only tested with. @type {Set<string>} */
const used = new Set()
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]))
const todo = [resolve.root]
for (let id; (id = todo.pop()) !== undefined;) {
  if (used.has(id)) continue
  used.add(id)
  for (const { pkg, dep_kinds: kinds } of nodes.get(id)?.deps ?? []) {
    if (kinds.some(({ kind }) => kind !== 'dev')) todo.push(pkg)
  }
}

const oldest = /^rust-version = "(.+)"/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1] ?? ''
const found = packages.filter(({ id }) => used.has(id))
const tooNew = found.filter(({ rust_version: needed }) => needed !== null && number(needed) > number(oldest))
for (const { name, version, rust_version: needed } of tooNew) {
  console.error(`Cargo.lock: ${name} ${version} needs Rust ${needed}, Cargo.toml promises ${oldest}`)
}
const silent = found.filter(({ rust_version: needed }) => needed === null)
console.log(
  `msrv: ${found.length} packages, ${tooNew.length} need more than Rust ${oldest}, ${silent.length} do not say`,
)
process.exitCode = tooNew.length > 0 ? 1 : 0
