// Whether a value is a playbook: by the schema of playbooks, which refers to that of the engine, by the rules that no
// schema says, and by the engine itself.

import { createRequire } from 'node:module'
import { checkPlan, ExecutionError } from '@escher-dbai/execution-engine'
import { type AnySchemaObject, Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { Path } from './faults.js'
import type { Value, Values } from './parameters.js'
import { planOf } from './plan.js'
import { type Broken, brokenRules } from './rules.js'
import { engineSchemaId, type Parameter, Playbook } from './schema.js'
import { schemaFaults } from './schema-faults.js'

const require = createRequire(import.meta.url)

/** What Node reads as a module of JSON it warns of, up to version 22. */
function engineSchema(): AnySchemaObject {
  const schema: unknown = require('@escher-dbai/execution-engine/schema.json')
  return typeof schema === 'object' && schema !== null ? { ...schema } : {}
}

const ajv = new Ajv2020({ allErrors: true, verbose: true, discriminator: true, allowUnionTypes: true })
addFormats.default(ajv)
ajv.addSchema(engineSchema(), engineSchemaId)
const isPlaybook = ajv.compile<Playbook>(Playbook)

const samples = { string: 'sample', number: 1, integer: 1, boolean: true, list: ['sample'] } as const

const sample = ({ type }: Parameter): Value => samples[type]

/** `steps.deploy.dependsOn[0]` as a path. */
const pathOf = (field: string): Path =>
  [...field.matchAll(/[^.[\]]+|\[(\d+)\]/g)].map(([key, index]) => (index === undefined ? key : Number(index)))

/** What the engine would refuse, whatever the parameters are. */
function refused(playbook: Playbook): Broken | undefined {
  const values: Values = new Map(Object.entries(playbook.parameters ?? {}).map(([name, one]) => [name, sample(one)]))
  try {
    checkPlan(planOf(playbook, process.cwd(), values))
    return undefined
  } catch (error) {
    if (!(error instanceof ExecutionError)) throw error
    const { field = '', message } = error
    return { path: pathOf(field), message: message.replace(`${field}: `, '') }
  }
}

export type Checked = { readonly playbook: Playbook } | { readonly broken: readonly Broken[] }

export function checkPlaybook(value: unknown): Checked {
  if (!isPlaybook(value)) return { broken: schemaFaults(isPlaybook.errors ?? [], value) }
  const broken = [...brokenRules(value)]
  if (broken.length > 0) return { broken }
  const fault = refused(value)
  return fault === undefined ? { playbook: value } : { broken: [fault] }
}
