import { randomUUID } from 'node:crypto'
import { emitWarning } from '../errors'
import type { Store } from '../redis/store'
import { storedPlanOf } from '../request/results'
import type { StoredResult } from '../request/results'
import { LineWriter } from '../worker/line-writer'
import { PRESENT_MS } from './driving'

/** Ends a plan that is to be cancelled, and that nobody drives any more. `cancel` resolves once the step has ended. */
export async function endLeft(store: Store, id: string, cancel: (step: string) => Promise<void>): Promise<void> {
  // From now on it is nobody else's: who drove it may only have been slow.
  const claim = await store.claim(id, randomUUID(), PRESENT_MS)
  const plan = await store.about(id)
  if (claim.state === 'finished' || claim.state === 'unknown' || plan === undefined) return
  const writer = new LineWriter(store.client, store.names, {
    id,
    run: claim.run,
    lines: claim.lines,
    warn: emitWarning,
  })
  const ended: StoredResult[] = []
  try {
    for (const step of plan['steps']?.split(',') ?? []) {
      await cancel(step)
      const json = await store.result(step)
      if (json === undefined) continue
      ended.push(JSON.parse(json) as StoredResult)
      if ((await store.about(step))?.['told'] !== 'end') writer.end(step, async () => {})
    }
    await writer.flush()
  } finally {
    writer.giveUp()
  }
  const about = { id, description: plan['description'] ?? '', submittedAt: claim.submittedAt }
  const stored = storedPlanOf(about, 'cancelled', ended, claim.lines)
  const { status, totalDurationMs: durationMs } = stored.result
  await store.settle({ id, run: claim.run, result: JSON.stringify(stored), status, durationMs, lines: claim.lines })
}
