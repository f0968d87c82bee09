// Faults at random, in their short form: `npm run soak -- --only queue` of the repository has the long one.

import { expect, test } from 'vitest'
import { SHORT, soak } from './soak/soak.mjs'

test('each request ends once and none runs beside itself, while workers are killed, blocked and cut off', async () => {
  const seed = Date.now() % 1e9
  const { figures, faults } = await soak(SHORT, { seed, stops: false })
  console.log(`soak: seed ${seed}: ${figures}`)
  expect(faults, `seed ${seed}`).toEqual([])
}, 120_000)
