#!/usr/bin/env node
// The program `play`.

import { fileURLToPath } from 'node:url'
import { Command, CommanderError, Option } from 'commander'
import { RunStatus } from './api.js'
import { loadPlaybook } from './playbook/load.js'
import { exitCodes, failure } from './terminal/exit.js'
import { listRuns, type LogsOptions, showLogs } from './terminal/history.js'
import { type CommonOptions, port, positive, withConcurrency, withData } from './terminal/options.js'
import { run, type RunOptions } from './terminal/run.js'
import { serve, type ServeOptions } from './terminal/serve.js'

const ownPlaybooks = fileURLToPath(new URL('../playbooks', import.meta.url))

let exitCode: number = exitCodes.completed

const collect = (text: string, before: readonly string[]): string[] => [...before, text]

const program = new Command('play')
  .description('Runs playbooks of commands, and watches them.')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })

withConcurrency(withData(program.command('run')))
  .description('run a playbook to its end: 0 it completed, 1 it failed, 2 bad input, 124 timed out, 130 interrupted')
  .argument('<file>', 'a playbook')
  .option('-p, --param <name=value>', 'a parameter; a list is given item by item', collect, [])
  .option('--param-env <name=VARIABLE>', 'a parameter, from a variable of the environment: for secrets', collect, [])
  .option('--plain', 'plain lines, also in a terminal')
  .action(async (file: string, options: RunOptions) => {
    exitCode = await run(file, options)
  })

program
  .command('validate')
  .description('check playbooks')
  .argument('<files...>', 'playbooks')
  .action(async (files: string[]) => {
    for (const file of files) {
      try {
        const { playbook } = await loadPlaybook(file)
        process.stdout.write(`${file}: ${playbook.name}, ${String(Object.keys(playbook.steps).length)} steps\n`)
      } catch (error) {
        const { code, message } = failure(error)
        process.stderr.write(`${message}\n`)
        exitCode = code
      }
    }
  })

withData(program.command('runs'))
  .description('list runs, newest first')
  .addOption(new Option('--status <status>', 'only these').choices(RunStatus.enum))
  .option('--playbook <name>', 'only of this playbook')
  .option('--text <text>', 'only where this is in name, description, parameters or error')
  .addOption(new Option('--limit <number>', 'how many at most').argParser(positive).default(20))
  .option('--json', 'as JSON')
  .action(async (options: CommonOptions & Parameters<typeof listRuns>[0] & { json?: boolean }) => {
    const { status, playbook, text, limit } = options
    await listRuns(
      {
        ...(status !== undefined && { status }),
        ...(playbook !== undefined && { playbook }),
        ...(text !== undefined && { text }),
        ...(limit !== undefined && { limit }),
      },
      options,
    )
  })

withData(program.command('logs'))
  .description('show what a run has printed')
  .argument('<run>', 'its id, or the beginning of that')
  .argument('[step]', 'only of this step')
  .option('-f, --follow', 'go on until the run has ended')
  .action(async (id: string, step: string | undefined, options: LogsOptions) => {
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
    exitCode = await serve(options)
  })

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    exitCode = error.exitCode === 0 ? exitCodes.completed : exitCodes.badInput
  } else {
    const { code, message } = failure(error)
    process.stderr.write(`${message.replaceAll(/^/gm, 'play: ')}\n`)
    exitCode = code
  }
}
process.exitCode = exitCode
