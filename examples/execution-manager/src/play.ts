#!/usr/bin/env node
// The program `play`. Each command loads what it needs.

import { fileURLToPath } from 'node:url'
import { Command, CommanderError, Option } from 'commander'
import { exitCodes } from './terminal/exit-codes.js'
import type { DemoOptions } from './terminal/demo.js'
import type { ListOptions, LogsOptions } from './terminal/history.js'
import { port, positive, withConcurrency, withData } from './terminal/options.js'
import type { RunOptions } from './terminal/run.js'
import type { ServeOptions } from './terminal/serve.js'

const ownPlaybooks = fileURLToPath(new URL('../playbooks', import.meta.url))

const statuses = ['pending', 'running', 'completed', 'failed', 'cancelled', 'timeout', 'interrupted']

let exitCode: number = exitCodes.completed

const collect = (text: string, before: readonly string[]): string[] => [...before, text]

const program = new Command('play').description('Runs playbooks of commands, and watches them.').exitOverride()

withConcurrency(withData(program.command('run')))
  .description('run a playbook to its end: 0 it completed, 1 it failed, 2 bad input, 124 timed out, 130 interrupted')
  .argument('<file>', 'a playbook')
  .option('-p, --param <name=value>', 'a parameter; a list is given item by item', collect, [])
  .option('--param-env <name=VARIABLE>', 'a parameter, from a variable of the environment: for secrets', collect, [])
  .option('--plain', 'plain lines, also in a terminal')
  .action(async (file: string, options: RunOptions) => {
    const { run } = await import('./terminal/run.js')
    exitCode = await run(file, options)
  })

program
  .command('validate')
  .description('check playbooks')
  .argument('<files...>', 'playbooks')
  .action(async (files: string[]) => {
    const { validate } = await import('./terminal/validate.js')
    exitCode = await validate(files)
  })

withData(program.command('runs'))
  .description('list runs, newest first')
  .addOption(new Option('--status <status>', 'only these').choices(statuses))
  .option('--playbook <name>', 'only of this playbook')
  .option('--text <text>', 'only where this is in name, description, parameters or error')
  .addOption(new Option('--limit <number>', 'how many at most').argParser(positive).default(20))
  .option('--json', 'as JSON')
  .action(async (options: ListOptions) => {
    const { listRuns } = await import('./terminal/history.js')
    await listRuns(options)
  })

withData(program.command('logs'))
  .description('show what a run has printed')
  .argument('<run>', 'its id, or the beginning of that')
  .argument('[step]', 'only of this step')
  .option('-f, --follow', 'go on until the run has ended')
  .action(async (id: string, step: string | undefined, options: LogsOptions) => {
    const { showLogs } = await import('./terminal/history.js')
    exitCode = await showLogs(id, step, options)
  })

withConcurrency(withData(program.command('serve')))
  .description('serve the page and its interface')
  .option('--playbooks <directory>', 'the playbooks', ownPlaybooks)
  .option('--host <address>', 'where to listen; others than this machine need a token', '127.0.0.1')
  .addOption(new Option('--port <number>', 'where to listen; 0 is a free one').argParser(port).default(0))
  .addOption(new Option('--token <token>', 'what clients have to know').env('EXECUTION_MANAGER_TOKEN'))
  .option('--run <playbook>', 'run this one at once')
  .action(async (options: ServeOptions) => {
    const { serve } = await import('./terminal/serve.js')
    exitCode = await serve(options)
  })

program
  .command('demo')
  .description('a Redis, two workers and the service on this machine, with a run to watch')
  .option('--playbooks <directory>', 'the playbooks', ownPlaybooks)
  .addOption(new Option('--port <number>', 'where to listen; 0 is a free one').argParser(port).default(0))
  .addOption(new Option('--workers <number>', 'how many').argParser(positive).default(2))
  .option('--redis-server <program>', 'Redis or Valkey; default: the one that is installed')
  .option('--run <playbook>', 'what is run', 'hello')
  .action(async (options: DemoOptions) => {
    const { demo } = await import('./terminal/demo.js')
    exitCode = await demo(options)
  })

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    exitCode = error.exitCode === 0 ? exitCodes.completed : exitCodes.badInput
  } else {
    const { failure } = await import('./terminal/exit.js')
    const { code, message } = failure(error)
    process.stderr.write(`${message.replaceAll(/^/gm, 'play: ')}\n`)
    exitCode = code
  }
}
process.exitCode = exitCode
