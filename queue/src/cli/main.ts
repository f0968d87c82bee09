#!/usr/bin/env node
// The program `execution-worker`.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HELP, readArguments, UsageError } from './arguments'
import { newLog } from './log'

const BAD_INPUT = 2

function version(): string {
  const file = join(__dirname, '../../package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>
  try {
    given = readArguments(process.argv.slice(2), process.env)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`execution-worker: ${error.message}\nexecution-worker --help lists the options.\n`)
    return BAD_INPUT
  }
  if (given === 'help' || given === 'version') {
    process.stdout.write(given === 'help' ? HELP : `${version()}\n`)
    return 0
  }
  // A worker goes on when nobody reads its log any more.
  process.stdout.on('error', () => {})
  const log = newLog(given.jsonLogs, (line) => process.stdout.write(line))
  // What only says something does not wait for all that a worker is made of.
  const { work } = await import('./work.js')
  return work(given, version(), log)
}

void main().then((code) => process.exit(code))
