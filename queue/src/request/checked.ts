import { randomUUID } from 'node:crypto'
import type { Command } from '@escher-dbai/execution-engine'
import { describe, refused } from '../errors'

// What the engine's own check says of a request or a plan.

export interface CheckedRequest {
  id: string
  command: string
  secretFields: string[]
}

export interface CheckedStep {
  step: string | number
  id: string
  command: string | null
}

export interface CheckedPlan {
  id: string
  steps: CheckedStep[]
  secretFields: string[]
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

export function checkedId(value: unknown, field = 'id'): string {
  if (typeof value === 'string' && UUID.test(value)) return value.toLowerCase()
  throw refused(field, 'a UUID', describe(value))
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

function shown(command: Command): string {
  if (command.type === 'shell') return command.command
  if (command.type === 'aws_cli') return ['aws', command.service, command.operation, ...(command.args ?? [])].map(quoted).join(' ')
  const program = command.type === 'exec' ? command.program : command.path
  return [String(program), ...(command.args ?? [])].map(quoted).join(' ')
}

function secretsOf(request: any, path: string): string[] {
  const secrets = (request.secrets ?? []).map((_: unknown, i: number) => `${path}secrets[${i}]`)
  const names = new Set<string>([...(request.secretEnv ?? []), 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'])
  const values = Object.keys(request.env ?? {}).filter((name) => names.has(name) && request.env[name] != null)
  return [...secrets, ...values.map((name) => `${path}env.${name}`)]
}

export function checkRequest(value: unknown): CheckedRequest {
  const request: any = value
  if (typeof request !== 'object' || request === null) throw refused('request', 'an object', describe(value))
  if (typeof request.command !== 'object') throw refused('command', 'a command', describe(request.command))
  const id = request.id === undefined ? randomUUID() : checkedId(request.id)
  return { id, command: shown(request.command), secretFields: secretsOf(request, '') }
}

export function checkPlan(value: unknown): CheckedPlan {
  const plan: any = value
  const id = plan.id === undefined ? randomUUID() : checkedId(plan.id)
  const named = plan.steps !== undefined
  const entries: [string | number, any][] = named ? Object.entries(plan.steps) : [...plan.commands.entries()]
  const secretFields = [...secretsOf(plan, '')]
  const steps = entries.map(([step, request]) => {
    secretFields.push(...secretsOf(request, named ? `steps.${step}.` : `commands[${step}].`))
    return { step, id: request.id ?? randomUUID(), command: request.command ? shown(request.command) : null }
  })
  return { id, steps, secretFields }
}
