// `play run`: one playbook, to its end.

import { makeExecutor } from '../executor.js'
import { loadPlaybook } from '../playbook/load.js'
import { readTexts } from '../playbook/parameters.js'
import { feed } from '../runs/feed.js'
import { Runs } from '../runs/runs.js'
import { exitCodeOf } from './exit.js'
import { type CommonOptions, fromEnvironment, pairs } from './options.js'
import { onSignals } from './signals.js'
import { LiveView, PlainView } from './view.js'

export interface RunOptions extends CommonOptions {
  readonly param: readonly string[]
  readonly paramEnv: readonly string[]
  readonly plain?: boolean
}

/** A terminal that does not say how large it is cannot be written again and again. */
const isLive = ({ isTTY, columns, rows }: NodeJS.WriteStream, { plain }: RunOptions): boolean =>
  isTTY && plain !== true && columns > 0 && rows > 0

/** @returns the exit code. */
export async function run(file: string, options: RunOptions): Promise<number> {
  const loaded = await loadPlaybook(file)
  const texts = new Map([...pairs(options.param, '--param'), ...fromEnvironment(options.paramEnv)])
  const given = readTexts(loaded.playbook, texts)
  const runs = new Runs(await makeExecutor(options), options.data)
  let started: string | undefined
  const stop = (): void => {
    if (started !== undefined) void runs.stop(started, 'interrupted by a signal')
  }
  const exitCode = onSignals(stop)
  try {
    await runs.recover()
    started = await runs.start(loaded, given)
    // Whatever came while it was not started yet.
    if (exitCode() !== undefined) stop()
    const view = isLive(process.stdout, options) ? new LiveView(process.stdout) : new PlainView(process.stdout)
    const watched = runs.find(started)
    for await (const { event } of feed(runs.engine, watched, new AbortController().signal, { replayed: Infinity })) {
      view.tell(event)
    }
    await runs.ended(started)
    view.end(watched.run)
    const { status } = watched.run
    return (status === 'cancelled' ? exitCode() : undefined) ?? exitCodeOf(status)
  } finally {
    await runs.close('play has ended')
  }
}
