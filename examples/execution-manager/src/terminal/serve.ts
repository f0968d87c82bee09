// `play serve`: the service, until a signal ends it.

import { resolve } from 'node:path'
import { type Service, type ServiceOptions, startService } from '../service.js'
import { loadLibrary } from '../playbook/load.js'
import { InputError } from './exit-codes.js'
import { onSignals } from './signals.js'

export interface ServeOptions extends ServiceOptions {
  /** A playbook that is run at once, with its defaults. */
  readonly run?: string | undefined
}

/** @returns the address of the run. */
async function runFirst(service: Service, directory: string, name: string): Promise<string> {
  const loaded = (await loadLibrary(directory)).playbooks.get(name)
  if (loaded === undefined) throw new InputError(`--run: there is no playbook ${name} in ${directory}`)
  const id = await service.runs.start(loaded, {})
  return `${service.url}/#/runs/${id}`
}

/** @returns the exit code. */
export async function serve(options: ServeOptions): Promise<number> {
  let stopped = (): void => undefined
  const asked = new Promise<void>((done) => (stopped = done))
  onSignals(() => {
    stopped()
  })
  const playbooks = resolve(options.playbooks)
  const { problems } = await loadLibrary(playbooks)
  for (const problem of problems) process.stderr.write(`play: ${problem}\n`)
  const service = await startService({ ...options, playbooks })
  try {
    if (service.recovered > 0) process.stdout.write(`${String(service.recovered)} runs were interrupted before\n`)
    process.stdout.write(`listening on ${service.url}${options.token === undefined ? '' : ' (asks for the token)'}\n`)
    if (options.run !== undefined) {
      process.stdout.write(`watch ${await runFirst(service, playbooks, options.run)}\n`)
    }
    await asked
    process.stdout.write('stopping: what runs is cancelled\n')
  } finally {
    await service.close()
  }
  return 0
}
