import type { ExecutionFilter, ExecutionStatus, ExecutionSummary } from '@escher-dbai/execution-engine'
import type { Fields, Store } from '../redis/store'
import { aboutOf } from './reading'

/** How many executions are looked at in one question. */
const PAGE = 200

/** The executions that the queue remembers, newest first. */
export async function listed(store: Store, filter: ExecutionFilter): Promise<ExecutionSummary[]> {
  const { limit = Infinity } = filter
  const found: ExecutionSummary[] = []
  for (let start = 0; found.length < limit; start += PAGE) {
    const ids = await store.client.zrevrange(store.names.index, start, start + PAGE - 1)
    const all = await Promise.all(ids.map((id) => store.about(id)))
    for (const [i, fields] of all.entries()) {
      const id = ids[i]
      if (id === undefined || fields === undefined || fields['kind'] === 'plan') continue
      const summary = summaryOf(id, fields)
      if (fits(summary, filter) && found.length < limit) found.push(summary)
    }
    if (ids.length < PAGE) break
  }
  return found
}

function summaryOf(id: string, fields: Fields): ExecutionSummary {
  const { metadata, planId, step } = aboutOf(id, fields)
  const durationMs = fields['durationMs']
  return {
    id,
    status: statusOf(fields),
    command: fields['command'] ?? '',
    startedAt: fields['startedAt'] ?? null,
    durationMs: durationMs === undefined ? null : Number(durationMs),
    metadata,
    planId,
    step,
  }
}

/** Only the scripts write it. */
export const statusOf = (fields: Fields): ExecutionStatus => (fields['status'] ?? 'pending') as ExecutionStatus

function fits({ status, metadata }: ExecutionSummary, filter: ExecutionFilter): boolean {
  if (filter.status !== undefined && filter.status !== status) return false
  if (filter.source !== undefined && filter.source !== metadata.source) return false
  return Object.entries(filter.tag ?? {}).every(([name, value]) => metadata.tags[name] === value)
}
