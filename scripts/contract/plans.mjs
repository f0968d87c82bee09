// A plan has its steps numbered or named: one type in Rust, whose fields say where they belong, and two in JavaScript.

import { withoutNull } from './types.mjs'

/** @typedef {import('./words.mjs').Schema} Schema */

/**
 * Puts the two kinds of plans, and the two of steps, in the place of what Rust has.
 *
 * @param {Record<string, Schema>} passed
 * @returns {Record<string, Schema>}
 */
export function withKindsOfPlans({ ExecutionPlan: plan, PlanStep: step, StepOptions: options, ...rest }) {
  if (plan === undefined || step === undefined || options === undefined) throw new Error('there is no plan')
  const IndexedPlan = only('IndexedPlan', plan)
  const NamedPlan = only('NamedPlan', plan)
  NamedPlan.properties.steps.additionalProperties.$ref = '#/$defs/NamedStep'
  return {
    ...rest,
    StepOptions: { ...only('IndexedPlan', options), 'x-part': true },
    NamedStepOptions: { ...only('NamedPlan', options), 'x-part': true },
    PlanStep: only('IndexedPlan', step),
    NamedStep: only('NamedPlan', step),
    IndexedPlan,
    NamedPlan,
    ExecutionPlan: {
      description: plan.description,
      oneOf: [{ $ref: '#/$defs/IndexedPlan' }, { $ref: '#/$defs/NamedPlan' }],
    },
  }
}

/**
 * What of a type belongs to one kind of plan.
 *
 * @param {string} kind
 * @param {Schema} schema
 * @returns {Schema}
 */
function only(kind, schema) {
  const { properties, required = [], ...rest } = structuredClone(schema)
  const own = Object.entries(properties).filter(([, field]) => (field['x-plan'] ?? kind) === kind)
  const needed = own.filter(([, field]) => field['x-needed']).map(([name]) => name)
  // What is needed in one kind of plan is absent in the other, which is what may be null.
  const fields = own.map(([name, field]) => [name, needed.includes(name) ? withoutNull(field)[0] : field])
  return { ...rest, properties: Object.fromEntries(fields), required: [...required, ...needed] }
}
