import type { ExecutionEngine, ExecutionResult } from '@escher-dbai/execution-engine'
import type { Bells } from '../client/bells'
import type { Names } from '../names'
import type { Client } from '../redis/connections'
import type { Store } from '../redis/store'
import type { Resolve } from '../request/decode'
import type { Locks } from './locks'
import type { DriverParts } from '../plan/driver'
import type { Runner } from './run'

/** What all runs of a worker share. */
export interface Workshop {
  readonly engine: ExecutionEngine
  readonly names: Names
  readonly store: Store
  /** For lines, so that they keep no renewal waiting. */
  readonly lines: Client
  readonly bells: Bells
  readonly locks: Locks
  readonly resolve: Resolve | undefined
  readonly lockDurationMs: number
  readonly counts: Counts
  /** What is run now, by its id. */
  readonly running: Map<string, Runner>
  /** What drives plans whose steps are spread. */
  readonly driving: DriverParts
  /** No more work is taken. */
  readonly closing: AbortSignal
  /** What runs is not waited for. */
  readonly abandoned: AbortSignal
  /** The connections were closed. */
  readonly closed: AbortSignal
  /** Says what an operator should know. */
  readonly warn: (message: string) => void
  /** The engine takes nothing any more. */
  readonly onShutDown: () => void
}

/** How many there were. */
export interface Counts {
  completed: number
  failed: number
  cancelled: number
  timeout: number
  lost: number
}

/** The most of a lock that is kept as a margin, in milliseconds. */
const LONGEST_MARGIN_MS = 5000
/** A lease that is shorter could not be renewed in time. */
export const SHORTEST_LEASE_MS = 1000

/** For how long a command may run after its lock was renewed, so that it has ended before another worker gets its job. */
export const leaseOf = (lockDurationMs: number, graceMs: number): number =>
  Math.floor(lockDurationMs - graceMs - Math.min(lockDurationMs / 4, LONGEST_MARGIN_MS))

/** How often a lock is renewed: twice may be missed. */
export const renewalOf = (leaseMs: number): number => Math.floor(leaseMs / 3)

export function count(counts: Counts, status: ExecutionResult['status'] | 'lost'): void {
  if (status === 'skipped') counts.cancelled += 1
  else counts[status] += 1
}
