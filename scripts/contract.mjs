// Makes from the types of Rust what JavaScript checks and reads, what TypeScript sees, and the schema that is published.
// With `--check` nothing is written: it fails where something else is checked in.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { withKindsOfPlans } from './contract/plans.mjs'
import { publishedOf } from './contract/published.mjs'
import { readersOf, shapesOf } from './contract/shapes.mjs'
import { typesOf } from './contract/types.mjs'
import { root, run } from './run.mjs'

/** @param {string} file */
const read = (file) => readFileSync(join(root, file), 'utf8')

/** The schema as Rust spells it. */
async function schemaOfRust() {
  let printed = ''
  const args = ['run', '--quiet', '--locked', '--example', 'schema', '--features', 'schema']
  const status = await run('cargo', args, { onOutput: (text) => (printed += text), quiet: true })
  if (status !== 0) throw new Error(`cargo ${args.join(' ')} failed:\n${printed}`)
  const { passed, told } = JSON.parse(printed)
  return { passed: withKindsOfPlans(passed), told }
}

/** @param {string} file @param {string} text */
async function formatted(file, text) {
  const path = join(root, file)
  return format(text, { ...(await resolveConfig(path)), filepath: path })
}

const schema = await schemaOfRust()
const generated = {
  'index.d.ts': typesOf(read('scripts/contract/template.d.ts'), schema),
  'lib/schema.js': shapesOf(schema.passed),
  'lib/told.js': readersOf(schema.told),
  'schema.json': JSON.stringify(publishedOf(schema)),
}
const isCheck = process.argv.includes('--check')
let differing = 0
for (const [file, text] of Object.entries(generated)) {
  const wanted = await formatted(file, text)
  if (!isCheck) writeFileSync(join(root, file), wanted)
  else if (read(file) !== wanted) {
    console.error(`contract: ${file} is not what the types of Rust make of it; \`npm run contract\` writes it`)
    differing += 1
  }
}
console.log(`contract: ${Object.keys(generated).length} files, ${isCheck ? `${differing} differ` : 'written'}`)
process.exitCode = differing > 0 ? 1 : 0
