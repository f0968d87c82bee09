import { describe, refused } from './errors'

/** The names of everything that is kept in Redis. All have one hash tag, so that a cluster keeps them together. */
export class Names {
  readonly base: string

  constructor(
    prefix: string,
    readonly queue: string,
  ) {
    this.base = `{${prefix}:${queue}}`
  }

  /** What the keys of BullMQ begin with. */
  get bullmq(): string {
    return `${this.base}:q`
  }

  /** What is known of an execution or a plan. */
  readonly about = (id: string): string => `${this.base}:x:${id}`
  /** Its lines and events. */
  readonly lines = (id: string): string => `${this.about(id)}:lines`
  /** How it ended. */
  readonly result = (id: string): string => `${this.about(id)}:result`
  /** Who reads its lines. */
  readonly readers = (id: string): string => `${this.about(id)}:readers`
  /** The channel that rings when there is something new to read. */
  readonly bell = (id: string): string => `${this.about(id)}:bell`
  /** The channel to the worker that runs it. */
  readonly control = (id: string): string => `${this.about(id)}:ctl`

  /** All ids, by the time of their submission. */
  get index(): string {
    return `${this.base}:index`
  }

  /** Those that have ended, by the time of their end. */
  get finished(): string {
    return `${this.base}:finished`
  }

  /** All sets of labels that were ever asked for. */
  get labels(): string {
    return `${this.base}:labels`
  }

  /** The channel to all workers. */
  get news(): string {
    return `${this.base}:control`
  }

  /** The queue of BullMQ for what needs these labels, which are in order. */
  readonly queueOf = (labels: readonly string[]): string => [this.queue, ...labels].join('+')

  /** What the keys of a queue of BullMQ begin with. */
  readonly jobs = (queue: string): string => `${this.bullmq}:${queue}:`

  /** The queue of BullMQ for what drives plans whose steps are spread. */
  get plans(): string {
    return `${this.queue}.plans`
  }
}

const LABEL = /^[A-Za-z0-9._-]{1,64}$/

/** Labels in order, each once. */
export function checkedLabels(labels: unknown, code: 'VALIDATION' | 'INVALID_CONFIG'): readonly string[] {
  if (labels === undefined) return []
  if (!Array.isArray(labels)) throw refused('labels', 'an array', describe(labels), code)
  for (const [i, label] of labels.entries()) {
    if (typeof label === 'string' && LABEL.test(label)) continue
    throw refused(`labels[${i}]`, '1 to 64 letters, digits, ".", "_" and "-"', describe(label), code)
  }
  return [...new Set<string>(labels)].sort()
}

/** A name of a queue, or a prefix. */
export function checkedName(field: string, value: unknown, absent: string): string {
  if (value === undefined) return absent
  if (typeof value === 'string' && LABEL.test(value)) return value
  throw refused(field, '1 to 64 letters, digits, ".", "_" and "-"', describe(value), 'INVALID_CONFIG')
}

/** A positive integer. */
export function checkedCount(field: string, value: unknown, absent: number): number {
  if (value === undefined) return absent
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw refused(field, 'a positive integer', describe(value), 'INVALID_CONFIG')
}

/** Refuses what nobody reads. */
export function checkedKeys(value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refused('options', 'an object', describe(value), 'INVALID_CONFIG')
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw refused(key, `one of the keys ${known.join(', ')}`, describe(key), 'INVALID_CONFIG')
  }
}
