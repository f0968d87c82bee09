// What the command line says, checked.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { ExecutionConfig } from '@escher-dbai/execution-engine'
import type { RedisOptions } from 'ioredis'
import { redisOptions } from '../redis/address'

/** What was typed cannot be accepted. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Where the probe listens. */
export interface HealthAddress {
  readonly host: string
  readonly port: number
}

/** What a worker is started with. */
export interface Arguments {
  readonly connection: RedisOptions
  readonly name: string | undefined
  readonly prefix: string | undefined
  readonly labels: readonly string[]
  readonly engine: ExecutionConfig
  readonly lockDurationMs: number | undefined
  readonly stalledIntervalMs: number | undefined
  readonly health: HealthAddress | undefined
  readonly jsonLogs: boolean
}

const DEFAULT_URL = 'redis://127.0.0.1:6379'

export const HELP = `Usage: execution-worker [options]

Takes executions from a queue in Redis and runs them on this machine.

  --redis <url>               redis[s]://[user[:password]@]host[:port][/database], or unix:///path. Default: the
                              variable REDIS_URL, which commands do not inherit, else ${DEFAULT_URL}
  --name <name>               the queue. Default: executions
  --prefix <prefix>           what the keys of the queue begin with. Default: escher
  --labels <a,b>              what this worker has, for requests that name labels. Default: none
  --concurrency <n>           how many executions run at once. Default: what the engine says, 100
  --lock-duration-ms <ms>     how long an execution is this worker's without being renewed. Default: 60000
  --stalled-interval-ms <ms>  how often executions of lost workers are looked for. Default: 30000
  --engine-config <file>      the configuration of the engine, as JSON
  --health <[host:]port>      answers GET /health with 200 or 503. Default: no; the host is 127.0.0.1
  --json-logs                 a log of JSON, one object a line
  --help                      this text
  --version                   the version of this package

SIGTERM and SIGINT: no more work is taken, what runs is finished, then it ends. A second one ends what runs: it counts
as lost with its worker, so it fails, or runs again on another, as its request says.

Exit codes: 0 drained; 1 failed; 2 bad input; 130 and 143 ended by a second SIGINT or SIGTERM.
`

const OPTIONS = {
  redis: { type: 'string' },
  name: { type: 'string' },
  prefix: { type: 'string' },
  labels: { type: 'string' },
  concurrency: { type: 'string' },
  'lock-duration-ms': { type: 'string' },
  'stalled-interval-ms': { type: 'string' },
  'engine-config': { type: 'string' },
  health: { type: 'string' },
  'json-logs': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  version: { type: 'boolean', default: false },
} as const

function typed(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS }).values
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error })
  }
}

function positive(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0 && /^\d+$/.test(text)) return number
  throw new UsageError(`--${option}: expected a positive integer, found ${JSON.stringify(text)}`)
}

function healthAddress(text: string | undefined): HealthAddress | undefined {
  if (text === undefined) return undefined
  const [, bracketed, plain, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d+)$/.exec(text) ?? []
  if (port !== undefined && Number(port) <= 65_535) {
    return { host: bracketed ?? plain ?? '127.0.0.1', port: Number(port) }
  }
  throw new UsageError(`--health: expected a port, or host:port, found ${JSON.stringify(text)}`)
}

/** The engine checks what is in it. */
function engineConfig(file: string | undefined): ExecutionConfig {
  if (file === undefined) return {}
  let config: unknown
  try {
    config = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`--engine-config: ${file}: ${(error as Error).message}`, { cause: error })
  }
  if (typeof config === 'object' && config !== null && !Array.isArray(config)) return config
  throw new UsageError(`--engine-config: ${file}: expected an object, found ${JSON.stringify(config)}`)
}

function connectionOf(typed: string | undefined, env: NodeJS.ProcessEnv): RedisOptions {
  const [source, url] =
    typed !== undefined
      ? ['--redis', typed]
      : env['REDIS_URL'] !== undefined
        ? ['REDIS_URL', env['REDIS_URL']]
        : ['', DEFAULT_URL]
  // A password in it is not for the commands that run here.
  delete env['REDIS_URL']
  const options = redisOptions(url)
  if (typeof options !== 'string') return options
  // The URL itself is not repeated: it may hold a password.
  throw new UsageError(`${source}: ${options}`)
}

/**
 * What to do: print a text and end, or run a worker.
 *
 * @throws {@link UsageError}
 */
export function readArguments(words: readonly string[], env: NodeJS.ProcessEnv): Arguments | 'help' | 'version' {
  const values = typed(words)
  if (values.help) return 'help'
  if (values.version) return 'version'
  const concurrency = positive('concurrency', values.concurrency)
  const labels = values.labels?.split(',').map((label) => label.trim()) ?? []
  const emptyAt = labels.indexOf('')
  if (emptyAt !== -1) throw new UsageError(`--labels: expected names between commas, found nothing at ${emptyAt + 1}`)
  return {
    connection: connectionOf(values.redis, env),
    name: values.name,
    prefix: values.prefix,
    labels,
    engine: {
      ...engineConfig(values['engine-config']),
      ...(concurrency !== undefined && { maxConcurrentExecutions: concurrency }),
    },
    lockDurationMs: positive('lock-duration-ms', values['lock-duration-ms']),
    stalledIntervalMs: positive('stalled-interval-ms', values['stalled-interval-ms']),
    health: healthAddress(values.health),
    jsonLogs: values['json-logs'],
  }
}
