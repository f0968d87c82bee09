import type { Client } from './connections'
import * as lua from './lua'

type Name = Exclude<keyof typeof lua, never>

const commandOf = (name: Name): string => `escherQueue${name}`

/** Makes the scripts known to a client, which sends each once and then only its digest. */
export function defineScripts(client: Client): void {
  for (const name of Object.keys(lua) as Name[]) client.defineCommand(commandOf(name), { lua: lua[name] })
}

/** Runs a script. What it answers is read by whoever calls it. */
export function script(
  client: Client,
  name: Name,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  // `defineCommand` adds methods that the types of the client do not know.
  const commands = client as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>
  const command = commands[commandOf(name)]
  if (command === undefined) throw new Error(`the script ${name} is not defined`)
  return command.call(client, keys.length, ...keys, ...args)
}

export const listOf = (answer: unknown): readonly unknown[] => (Array.isArray(answer) ? answer : [])

export const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''

export const numberOf = (value: unknown): number => (value === null || value === undefined ? 0 : Number(value))
