// What several commands of `play` are told in the same way.

import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { InputError } from './exit-codes.js'

export interface CommonOptions {
  readonly data: string
  readonly queue?: string
  readonly concurrency?: number
}

/** Where the history and the logs are, unless told otherwise. */
function defaultData(): string {
  const state = process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state')
  return join(state, 'execution-manager')
}

export function positive(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on.')
  return value
}

export function port(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0 || value > 65_535) {
    throw new InvalidArgumentError('expected a number from 0 to 65535.')
  }
  return value
}

export const withData = (command: Command): Command =>
  command
    .addOption(
      new Option('--data <directory>', 'where the history and the logs are')
        .env('EXECUTION_MANAGER_DATA')
        .default(defaultData()),
    )
    .addOption(new Option('--queue <url>', 'the Redis of an execution queue, whose workers run the steps'))

export const withConcurrency = (command: Command): Command =>
  command.addOption(new Option('--concurrency <number>', 'how many steps run at once').argParser(positive))

/** `name=value`, several of a list. */
export function pairs(texts: readonly string[], what: string): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const text of texts) {
    const at = text.indexOf('=')
    if (at < 1) throw new InputError(`${what}: expected NAME=VALUE, found ${JSON.stringify(text.slice(0, 20))}`)
    const name = text.slice(0, at)
    found.set(name, [...(found.get(name) ?? []), text.slice(at + 1)])
  }
  return found
}

/** `name=VARIABLE`: for secrets, which everybody could read among the arguments. */
export function fromEnvironment(texts: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const [name, variables] of pairs(texts, '--param-env')) {
    const values = variables.map((variable) => {
      const value = process.env[variable]
      if (value === undefined) throw new InputError(`--param-env ${name}: there is no variable ${variable}`)
      return value
    })
    found.set(name, values)
  }
  return found
}
